// What this page knows of a room: messages, members, who types. No drawing, no network, no clock of its own.

const KEPT = 500;
const TYPING = 4_000; // how long one typing event counts, in milliseconds

export class Room {
  constructor(name) {
    this.name = name;
    this.channel = `room:${name}`;
    this.messages = [];
    this.members = new Map(); // connection -> user
    this.count = 0;
    this.changes = null; // joins and leaves since the list was asked for
    this.typed = new Map(); // user -> until when
    this.leaving = new Map(); // user -> timer: left a moment ago
  }

  // ---- messages in the order of their offsets; what has none (notices, ephemeral messages) keeps its place

  add(message) {
    this.typed.delete(message.from);
    this.#append(message);
    return message;
  }

  note(text, ts, kind = "") {
    return this.#append({ notice: text, kind, ts });
  }

  #append(item) {
    const last = this.messages.at(-1);
    item.place = item.offset ?? last?.place ?? 0;
    this.messages.push(item);
    if (this.messages.length > KEPT) this.messages.shift();
    return item;
  }

  /** Continuity was lost: what was received above `began` is void. The number of messages that were dropped. */
  void(began) {
    const before = this.messages.length;
    this.messages = this.messages.filter(({ offset }) => offset === undefined || offset <= began);
    for (const item of this.messages) item.place = Math.min(item.place, began);
    return before - this.messages.length;
  }

  /** Put messages of the history among those that are known. The number of new ones. */
  merge(history) {
    const known = new Set(this.messages.map(({ offset }) => offset));
    const missing = history.filter(({ offset }) => !known.has(offset));
    for (const item of missing) item.place = item.offset;
    const late = (item) => (item.offset === undefined ? 1 : 0);
    this.messages = [...this.messages, ...missing].sort((a, b) => a.place - b.place || late(a) - late(b)).slice(-KEPT);
    return missing.length;
  }

  // ---- members, by connection: one user may have several tabs

  /** The list is being asked for: what happens meanwhile counts on top of it. */
  expectMembers() {
    this.changes = [];
  }

  /** The list has come. */
  listMembers(members, count) {
    this.members = new Map(members.map(({ connection, user }) => [connection, user]));
    this.count = count;
    for (const event of this.changes ?? []) this.#apply(event);
    this.changes = null;
  }

  /** A join, leave or count. Whether the list no longer fits and should be asked for again. */
  change(event) {
    this.changes?.push(event);
    this.#apply(event);
    this.count = event.count;
    return this.changes === null && this.members.size !== this.count;
  }

  #apply({ type, connection, user }) {
    if (type === "join") this.members.set(connection, user);
    if (type === "leave") this.members.delete(connection);
  }

  isHere(user) {
    return [...this.members.values()].includes(user);
  }

  /** `[{user, connections}]`, `me` first, then by name. */
  people(me) {
    const connections = new Map();
    for (const user of this.members.values()) connections.set(user, (connections.get(user) ?? 0) + 1);
    const first = (user) => (user === me ? 0 : 1);
    return [...connections]
      .map(([user, number]) => ({ user, connections: number }))
      .sort((a, b) => first(a.user) - first(b.user) || String(a.user).localeCompare(String(b.user)));
  }

  // ---- typing

  type(user, now) {
    this.typed.set(user, now + TYPING);
  }

  typists(now) {
    for (const [user, until] of this.typed) if (until <= now) this.typed.delete(user);
    return [...this.typed.keys()];
  }
}
