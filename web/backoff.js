// How long to stay away before the next attempt: exponential with full jitter, so that a crowd does not come back as one.

export class Backoff {
  constructor({ base = 0.5, cap = 20, random = Math.random } = {}) {
    this.base = base;
    this.cap = cap;
    this.random = random;
    this.attempt = 0;
  }

  /** Seconds, at least `least`. */
  next(least = 0) {
    const most = Math.min(this.cap, this.base * 2 ** this.attempt);
    this.attempt += 1;
    return least + this.random() * most;
  }

  reset() {
    this.attempt = 0;
  }
}
