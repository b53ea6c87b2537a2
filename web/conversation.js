// The room that this page is in: what happens on the connection, kept in the store, shown on the screen.

import { Chat } from "./chat.js";
import { Outbox } from "./outbox.js";
import { showPeople } from "./people.js";
import { Room } from "./store.js";

const RECENT = 50; // messages that a newcomer sees
const ANEW = 100; // messages fetched after a loss
const GRACE = 3_000; // a quick return shows nothing, in milliseconds

export class Conversation {
  /** `status` is called with what happens: `{offset}`, `{recovered}`. */
  constructor(connection, { status, unread }) {
    this.connection = connection;
    this.status = status;
    this.unread = unread;
    this.room = null;
    this.me = null;
    this.outbox = new Outbox(connection, () => this.#waiting());
    this.chat = new Chat({
      send: (text) => this.outbox.send(this.room.channel, { text }),
      typing: () => this.connection.typing(this.room.channel),
      retry: (key) => this.outbox.retry(key),
      discard: (key) => this.outbox.discard(key),
    });
    this.#listen();
    this.ticking = setInterval(() => this.#typists(), 1000);
  }

  stop() {
    clearInterval(this.ticking);
    this.chat.stop();
    this.room = null;
  }

  /** Go to a room, leaving the one before. */
  enter(name) {
    if (this.room?.name === name) return;
    if (this.room) this.connection.unsubscribe(this.room.channel);
    this.room = new Room(name);
    this.chat.reset([], this.me);
    this.chat.writable(true, `Message #${name}`);
    this.#waiting();
    this.#people();
    this.connection.subscribe(this.room.channel, { last: RECENT });
  }

  #listen() {
    const here = (work) => (event) => event.channel === this.room?.channel && work(event);
    this.connection
      .on("connected", ({ user }) => (this.me = user))
      .on("subscribed", here(() => this.#subscribed()))
      .on("message", here((event) => this.#message(event)))
      .on("join", here((event) => this.#change(event)))
      .on("leave", here((event) => this.#change(event)))
      .on("count", here((event) => this.#change(event)))
      .on("typing", here(({ user }) => user !== this.me && this.#typing(user)))
      .on("recovered", here((event) => this.#recovered(event)))
      .on("lost", here((event) => this.#lost(event)))
      .on("refused", here(({ error }) => this.#shut(error.message)))
      .on("unsubscribed", here(({ reason }) => this.#shut(reason)));
  }

  #subscribed() {
    this.outbox.flush(this.room.channel);
    this.#list();
  }

  #message(event) {
    if (event.key && event.from === this.me && this.outbox.arrived(event.key)) this.#waiting();
    this.chat.add(this.room.add(event), this.me);
    this.status({ offset: event.offset });
    this.#typists();
    if (event.from !== this.me) this.unread();
  }

  #note(text, kind) {
    this.chat.add(this.room.note(text, Date.now(), kind), this.me);
  }

  #recovered({ count }) {
    this.status({ recovered: count });
    const what = count === 1 ? "1 message" : `${count} messages`;
    this.#note(count ? `Back again: recovered ${what}` : "Back again: nothing was missed", "good");
  }

  /** Continuity is lost, and the server said so: drop what is void, fetch what there is. */
  #lost({ began, within, reason }) {
    const { room } = this;
    const dropped = room.void(began);
    this.outbox.settle(room.channel);
    this.#note(`Continuity was lost here: ${reason}.${dropped ? ` The server lost ${dropped} of the messages above.` : ""}`, "bad");
    this.chat.reset(room.messages, this.me);
    setTimeout(() => this.#fetch(room), 1000 * within * Math.random());
  }

  async #fetch(room) {
    if (room !== this.room) return;
    const { channel } = room;
    try {
      const { messages } = await this.connection.request("history", { channel, limit: ANEW, reverse: true });
      if (room !== this.room) return;
      if (room.merge(messages.reverse())) this.chat.reset(room.messages, this.me);
      this.#list();
    } catch (error) {
      // After a disconnect the next subscription says again what was lost, or that nothing was.
      if (error.temporary && error.code !== "disconnected") setTimeout(() => this.#fetch(room), 2000);
    }
  }

  #shut(reason) {
    this.chat.writable(false, "You cannot write here");
    this.#note(`This room is closed to you: ${reason}`, "bad");
  }

  // ---- people

  async #list() {
    const { room } = this;
    room.expectMembers();
    try {
      const { members, count } = await this.connection.request("presence", { channel: room.channel });
      room.listMembers(members, count);
    } catch {
      room.changes = null; // the next return, or the next change, asks again
    }
    if (room === this.room) this.#people();
  }

  #change(event) {
    const { room } = this;
    const { type, user } = event;
    const before = room.isHere(user);
    const misfit = room.change(event);
    if (type === "join" && !before && !this.#isReturning(user)) this.#note(`${user ?? "Somebody"} joined`, "presence");
    if (type === "leave" && before && !room.isHere(user)) this.#leaves(user);
    if (misfit) this.#listSoon();
    this.#people();
  }

  #leaves(user) {
    const { room } = this;
    room.leaving.set(
      user,
      setTimeout(() => {
        room.leaving.delete(user);
        room.typed.delete(user);
        if (room === this.room && !room.isHere(user)) this.#note(`${user ?? "Somebody"} left`, "presence");
      }, GRACE),
    );
  }

  #isReturning(user) {
    clearTimeout(this.room.leaving.get(user));
    return this.room.leaving.delete(user);
  }

  /** In a busy room changes come in crowds: one list serves them all. */
  #listSoon() {
    this.listing ??= setTimeout(() => {
      this.listing = null;
      if (this.room && this.connection.joined.has(this.room.channel)) this.#list();
    }, 700);
  }

  #typing(user) {
    this.room.type(user, Date.now());
    this.#typists();
  }

  #typists() {
    if (!this.room) return;
    const typists = this.room.typists(Date.now());
    if (typists.join() === this.shown) return;
    this.shown = typists.join();
    this.chat.typing(typists);
    this.#people();
  }

  #people() {
    const typists = this.room.typists(Date.now());
    showPeople(this.room.people(this.me), { me: this.me, count: this.room.count, typists });
  }

  #waiting() {
    const waiting = [...this.outbox.waiting.values()];
    this.chat.waiting(waiting.filter(({ channel }) => channel === this.room?.channel));
  }
}
