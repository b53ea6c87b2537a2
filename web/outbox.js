// Messages on their way: sent again after a return, and never twice, since each has a key that the server knows.

const KEY_LIFE = 4 * 60_000; // below the server's 5 minutes: an older key could be forgotten there, and doubled
const AGAIN = 1_000;

export class Outbox {
  /** `changed()` is called when something in `waiting` has changed. */
  constructor(connection, changed) {
    this.connection = connection;
    this.changed = changed;
    this.waiting = new Map(); // key -> {key, channel, data, ts, state}
  }

  send(channel, data) {
    const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
    const message = { key, channel, data, ts: Date.now(), state: "waiting" };
    this.waiting.set(key, message);
    this.#publish(message);
  }

  /** The room is there (again): send what has no answer. */
  flush(channel) {
    for (const message of this.waiting.values()) {
      if (message.channel === channel && message.state === "waiting") this.#publish(message);
    }
  }

  /** It came back in the stream: it has its place. */
  arrived(key) {
    return this.waiting.delete(key);
  }

  retry(key) {
    const message = this.waiting.get(key);
    if (message && this.waiting.delete(key)) this.send(message.channel, message.data);
  }

  discard(key) {
    this.waiting.delete(key);
    this.changed();
  }

  /** What was lost of the stream includes what came back to us: forget all that the server has acknowledged. */
  settle(channel) {
    for (const [key, message] of this.waiting) {
      if (message.channel === channel && message.state === "stored") this.waiting.delete(key);
    }
  }

  async #publish(message) {
    if (Date.now() - message.ts > KEY_LIFE) {
      this.#become(message, "failed", "It waited too long.");
      return;
    }
    const { key, channel, data } = message;
    if (!this.connection.joined.has(channel)) {
      this.#become(message, "waiting"); // only members may publish: flush comes with the subscription
      return;
    }
    this.#become(message, "sending");
    try {
      await this.connection.request("publish", { channel, data, key });
      this.#become(message, "stored");
    } catch (error) {
      this.#refused(message, error);
    }
  }

  #refused(message, error) {
    if (error.code === "disconnected") {
      this.#become(message, "waiting");
    } else if (error.temporary || error.code === "rate_limited") {
      this.#become(message, "waiting");
      setTimeout(() => this.flush(message.channel), 1000 * error.retryAfter || AGAIN);
    } else {
      this.#become(message, "failed", error.message);
    }
  }

  #become(message, state, reason = "") {
    message.state = state;
    message.reason = reason;
    if (this.waiting.has(message.key)) this.changed();
  }
}
