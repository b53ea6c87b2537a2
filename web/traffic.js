// What this tab sends and gets, as it goes over the line, and how often each message came: once, or it is told.

const KEPT = 40;
const SENT = new Set(["auth", "subscribe", "unsubscribe", "publish", "typing"]);
const GOT = new Set(["connected", "message", "join", "leave", "typing", "error", "reset", "reconnect", "expiring", "direct"]);
const QUIET = /^(?:cursor|live):/; // too many to be read

export class Traffic {
  #changed;
  #number = 0;
  #asked = new Map(); // id of a command on this line -> its row
  rows = []; // {number, way: "sent" | "got", type, channel, frame, at, ms}

  /** `changed()` is called when `rows` has; the newest is last. */
  constructor(changed) {
    this.#changed = changed;
  }

  sent(text) {
    const frame = read(text);
    if (frame?.type === "auth") this.#asked.clear(); // a line counts its commands anew
    if (!frame || !SENT.has(frame.type) || QUIET.test(frame.channel)) return;
    const row = this.#add("sent", withoutToken(frame));
    if (frame.id !== undefined) this.#asked.set(frame.id, row);
  }

  got(text) {
    const frame = read(text);
    if (!frame || QUIET.test(frame.channel)) return;
    const asked = this.#asked.get(frame.id);
    if (frame.type === "ack" && asked) {
      this.#asked.delete(frame.id);
      asked.ms = performance.now() - asked.at;
      this.#changed();
    } else if (GOT.has(frame.type)) {
      this.#add("got", frame);
    }
  }

  forget() {
    this.rows = [];
    this.#asked.clear();
    this.#changed();
  }

  #add(way, frame) {
    const { type, channel = "" } = frame;
    const row = { number: (this.#number += 1), way, type, channel, frame, at: performance.now(), ms: null };
    this.rows.push(row);
    if (this.rows.length > KEPT) this.rows.shift();
    this.#changed();
    return row;
  }
}

function read(text) {
  return typeof text === "string" ? JSON.parse(text) : null;
}

/** A token as it may be shown: enough to tell two apart. */
export const short = (token) => (token?.length > 20 ? `${token.slice(0, 6)}…${token.slice(-4)}` : "…");

function withoutToken({ token, ...frame }) {
  return token === undefined ? frame : { ...frame, token: short(token) };
}

/** Counts the messages of a room by their offsets: each has to come once, in order. */
export class Tally {
  #next = null;
  sent = 0; // stored, as the server answered
  received = 0; // of those, what came back
  got = 0;
  missing = 0;
  twice = 0;

  /** A message came; `mine` if this tab sent it. */
  take({ offset, skipped = 0 }, mine) {
    this.got += 1;
    if (mine) this.received += 1;
    if (offset === undefined) return;
    if (this.#next !== null && offset < this.#next) this.twice += 1;
    else if (this.#next !== null) this.missing += Math.max(0, offset - this.#next - skipped);
    this.#next = Math.max(this.#next ?? 0, offset + 1);
  }

  /** The server said that continuity is lost: what comes next begins anew. */
  lost() {
    this.#next = null;
  }
}
