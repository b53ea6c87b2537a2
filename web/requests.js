// Commands that wait for their ack.

export class Refused extends Error {
  constructor({ code, message, temporary = false, retry_after: retryAfter = 0 }) {
    super(message);
    this.code = code;
    this.temporary = temporary;
    this.retryAfter = retryAfter;
  }
}

export class Requests {
  #next = 1;
  #waiting = new Map();

  /** `[id, promise]`: the promise gives the ack, or throws Refused. */
  open() {
    const id = this.#next++;
    const promise = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    return [id, promise];
  }

  /** Whether an ack, error or pong belonged to a command of ours. */
  settle(event) {
    const waiting = this.#waiting.get(event.id);
    if (!waiting) return false;
    this.#waiting.delete(event.id);
    if (event.type === "error") waiting.reject(new Refused(event));
    else waiting.resolve(event);
    return true;
  }

  /** The connection is gone: no answer will come. */
  abandon() {
    const lost = { code: "disconnected", message: "the connection was lost", temporary: true };
    for (const { reject } of this.#waiting.values()) reject(new Refused(lost));
    this.#waiting.clear();
  }
}
