// Messages on their way, as the page shows them. The client sends them again after a return, and never twice.

export class Unsent {
  /** `changed()` is called when something in `waiting` has changed, `stored()` when the server has taken one. */
  constructor(client, { changed, stored }) {
    this.client = client;
    this.stored = stored;
    this.changed = changed;
    this.waiting = new Map(); // key -> {key, channel, data, state: "sending" | "stored" | "failed", reason}
  }

  send(channel, data) {
    const key = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
    const message = { key, channel, data, state: "sending", reason: "" };
    this.waiting.set(key, message);
    this.changed();
    this.#publish(message);
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
    const { key, channel, data } = message;
    try {
      await this.client.channel(channel).publish(data, { key });
      message.state = "stored";
      this.stored(channel);
    } catch (error) {
      message.state = "failed";
      message.reason = error.code === "expired" ? "It waited too long." : error.message;
    }
    if (this.waiting.has(key)) this.changed();
  }
}
