// Whether a publish would be answered: a gateway lives on when the store behind it hangs.

const CHECK = 4_000; // between two questions, in milliseconds
const AGAIN = 1_000; // the same while there is no answer
const SLOW = 3_000; // without an answer for so long, there is none

export class Answers {
  /** `channel()` gives one to ask about; `changed()` is called when `yes` has changed. */
  constructor(client, channel, changed) {
    this.client = client;
    this.channel = channel;
    this.changed = changed;
    this.yes = false;
    this.asking = false;
    this.ending = new AbortController();
    const { signal } = this.ending;
    // The network has gone or has come back: what was true may be over.
    for (const event of ["offline", "online"]) window.addEventListener(event, () => this.doubt(), { signal });
    document.addEventListener("visibilitychange", () => this.check(), { signal });
    client.on("state", ({ state }) => state === "online" || state === "moving" || this.#become(false), { signal });
  }

  stop() {
    this.ending.abort();
    clearTimeout(this.timer);
  }

  doubt() {
    this.#become(false);
    this.check();
  }

  /** Ask the store something small, again and again while somebody may look; one question at a time. */
  async check() {
    const channel = this.channel();
    if (this.asking || document.hidden || channel?.state !== "live") return;
    clearTimeout(this.timer);
    this.asking = true;
    const slow = setTimeout(() => this.#become(false), SLOW);
    const answered = await channel.history({ limit: 1 }).then(
      () => true,
      ({ temporary }) => !temporary, // a refusal is an answer
    );
    clearTimeout(slow);
    this.asking = false;
    if (this.ending.signal.aborted) return;
    this.#become(answered && channel.state === "live");
    this.timer = setTimeout(() => this.check(), this.yes ? CHECK : AGAIN);
  }

  #become(yes) {
    if (this.yes === yes) return;
    this.yes = yes;
    this.changed();
  }
}
