// Breaks this page's connection on purpose, and says what came of it.

export class Breaks {
  #say;
  #line = null;
  #trial = null; // {what, began, back}

  /** `say` shows a sentence. */
  constructor(say) {
    this.#say = say;
  }

  /** For the client: sockets that can be cut as a network cuts them. The page sees 1006, the server nothing for now. */
  get WebSocket() {
    const breaks = this;
    return class extends WebSocket {
      #cut = false;

      constructor(...given) {
        super(...given);
        breaks.#line = this;
      }

      cut() {
        this.#cut = true;
        this.dispatchEvent(new CloseEvent("close", { code: 1006 }));
      }

      close(...given) {
        if (!this.#cut) super.close(...given); // a line that is cut carries no goodbye
      }
    };
  }

  drop() {
    this.#begin("The line was dropped");
    this.#line?.cut();
  }

  move(client) {
    this.#begin("Moving to another line");
    client.reconnect();
  }

  #begin(what) {
    this.#trial = { what, began: performance.now(), back: "" };
    this.#say(`${what} …`);
  }

  /** The connection stands again. */
  back(node) {
    const trial = this.#trial;
    if (trial && !trial.back) trial.back = `Back after ${Math.round(performance.now() - trial.began)} ms, on ${node}`;
  }

  /** What the room says of the gap: how many messages were `recovered`, or why some are `lost`. */
  settle({ recovered, lost }) {
    if (!this.#trial?.back || (recovered === undefined && !lost)) return;
    const came = recovered === 1 ? "1 message" : `${recovered} messages`;
    const gap = lost ? `told that messages are lost: ${lost}` : recovered ? `${came} missed, all recovered` : "nothing was missed";
    this.#say(`${this.#trial.back}: ${gap}.`);
    this.#trial = null;
  }
}
