// Where this page is in each channel: what it has seen, and what it asks for when it comes back.

export class Positions {
  #at = new Map();

  get(channel) {
    return this.#at.get(channel);
  }

  set(channel, { epoch, offset }) {
    this.#at.set(channel, { epoch, offset });
  }

  delete(channel) {
    this.#at.delete(channel);
  }

  /** `{channel: position}` of the channels that `wanted` says yes to. */
  of(wanted) {
    return Object.fromEntries([...this.#at].filter(([channel]) => wanted(channel)));
  }

  /**
   * Take a message: "next" moves the position, "old" was seen before, "gap" means that one is missing.
   * Ephemeral messages have no offset and no place.
   */
  take({ channel, offset, skipped = 0 }) {
    const at = this.#at.get(channel);
    if (offset === undefined || at === undefined) return "next";
    if (offset <= at.offset) return "old";
    const next = at.offset + skipped + 1;
    at.offset = offset;
    return offset === next ? "next" : "gap";
  }
}
