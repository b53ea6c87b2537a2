// Breaks this page's connection on purpose, and says what came of it.

const STALL = 10_000; // milliseconds

export class Breaks {
  #say;
  #watch;
  #line = null;
  #held = null; // while stalled: what waits, in order
  #trial = null; // {what, began, line, late, back}

  /** `say` shows a sentence; `watch.sent` and `watch.got` see each frame as text; `watch.began` hears of each trial. */
  constructor(say, watch = {}) {
    this.#say = say;
    this.#watch = watch;
  }

  /** For the client: sockets that can be cut as a network cuts them, and stalled as a tab that is frozen. */
  get WebSocket() {
    const breaks = this;
    return class extends WebSocket {
      // Of our own, in place of the browser's: nothing comes to them but through us.
      onopen = null;
      onmessage = null;
      onclose = null;
      onerror = null;
      #cut = false;

      constructor(...given) {
        super(...given);
        breaks.#line = this;
        for (const type of ["open", "message", "close", "error"]) {
          this.addEventListener(type, (event) => breaks.#pass(() => this.#hear(type, event), event.data));
        }
      }

      send(data) {
        breaks.#pass(() => {
          if (this.readyState !== WebSocket.OPEN || this.#cut) return;
          breaks.#watch.sent?.(data);
          super.send(data);
        });
      }

      close(...given) {
        if (!this.#cut) super.close(...given); // a line that is cut carries no goodbye
      }

      /** The page sees 1006, the server nothing for now. */
      cut() {
        this.#hear("close", { code: 1006, reason: "" });
        this.#cut = true;
      }

      #hear(type, event) {
        if (this.#cut) return;
        if (type === "message") breaks.#watch.got?.(event.data);
        this[`on${type}`]?.(event);
      }
    };
  }

  /** Now, or when the stall is over. */
  #pass(work, data) {
    if (!this.#held) return work();
    this.#held.push(work);
    if (this.#trial && isMessage(data)) this.#trial.late += 1;
  }

  drop() {
    this.#begin("The line was dropped");
    this.#line?.cut();
  }

  move(client) {
    this.#begin("Moving to another line");
    client.reconnect();
  }

  /** For ten seconds this tab reads nothing and answers nothing. */
  stall() {
    if (this.#held) return;
    this.#begin("Stalled: for 10 s this tab reads and answers nothing");
    this.#held = [];
    setTimeout(() => this.#thaw(), STALL);
  }

  #thaw() {
    const held = this.#held;
    this.#held = null;
    const from = performance.now();
    for (const work of held) work();
    const trial = this.#trial;
    // Else the client gave the line up, or the server did: it comes back, and the room says what was missed.
    if (!trial || trial.line !== this.#line || this.#line.readyState !== WebSocket.OPEN) return;
    const ms = Math.ceil(performance.now() - from);
    this.#end(`Stalled for 10 s and still on the same line: ${trial.late} waited, ${trial.late} read within ${ms} ms, 0 lost.`);
  }

  /** `kill` gives the reason why not, or nothing. */
  async kill(node, kill) {
    this.#begin(`Killing ${node}`);
    const refused = await kill(node);
    if (refused) this.#end(`${node} lives on: ${refused}.`);
  }

  #begin(what) {
    this.#trial = { what, began: performance.now(), line: this.#line, late: 0, back: "" };
    this.#say(`${what} …`);
    this.#watch.began?.();
  }

  #end(said) {
    this.#trial = null;
    this.#say(said);
  }

  /** The connection stands again. */
  back(node) {
    const trial = this.#trial;
    if (trial && !trial.back) trial.back = `Back after ${Math.round(performance.now() - trial.began)} ms, on ${node}`;
  }

  /** What the room says of the gap: how many messages were `recovered`, or why some are `lost`. */
  settle({ recovered, lost }) {
    if (!this.#trial?.back || (recovered === undefined && !lost)) return;
    const { back, began } = this.#trial;
    if (lost) return this.#end(`${back}: the server says that messages are lost (${lost}).`);
    const all = recovered ? ` All there after ${Math.round(performance.now() - began)} ms.` : "";
    this.#end(`${back}: ${recovered} missed, ${recovered} recovered, 0 lost.${all}`);
  }
}

function isMessage(data) {
  if (typeof data !== "string") return false;
  const { type, channel } = JSON.parse(data);
  return type === "message" && channel.startsWith("room:");
}
