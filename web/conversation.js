// The room that this page is in: what happens on the connection, kept in the store, shown on the screen.

import { Chat } from "./chat.js";
import { readable } from "./names.js";
import { showPeople } from "./people.js";
import { Room } from "./store.js";
import { Tally } from "./traffic.js";
import { Unsent } from "./unsent.js";

const RECENT = 50; // messages that a newcomer sees
const ANEW = 100; // messages fetched after a loss
const GRACE = 3_000; // a quick return shows nothing, in milliseconds

export class Conversation {
  /**
   * `status` is called with what happens: `{offset}`, `{recovered}`, `{lost}`; `standing` when the room stands, `peopled`
   * when somebody has come or gone, `counted` with the room's tally.
   */
  constructor(client, { status, standing, unread, peopled, counted }) {
    this.client = client;
    this.status = status;
    this.standing = standing;
    this.unread = unread;
    this.peopled = peopled;
    this.counted = counted;
    this.tally = new Tally();
    this.room = null;
    this.channel = null;
    this.me = null;
    this.leaving = new AbortController();
    this.unsent = new Unsent(client, { changed: () => this.#waiting(), stored: (channel) => this.#stored(channel) });
    this.chat = new Chat({
      send: (text) => this.unsent.send(this.room.channel, { text }),
      typing: () => this.channel.typing(),
      retry: (key) => this.unsent.retry(key),
      discard: (key) => this.unsent.discard(key),
    });
    this.ticking = setInterval(() => this.#typists(), 1000);
  }

  stop() {
    clearInterval(this.ticking);
    this.leaving.abort();
    this.chat.stop();
    this.room = null;
  }

  /** Go to a room, leaving the one before. */
  enter(name) {
    if (this.room?.name === name) return;
    this.leaving.abort();
    this.leaving = new AbortController();
    this.room = new Room(name);
    this.tally = new Tally();
    this.counted(this.tally);
    this.channel = this.client.channel(this.room.channel, { last: RECENT });
    this.chat.reset([], this.me);
    this.chat.writable(true, `Message #${readable(name)}`);
    this.#waiting();
    this.#people();
    this.#listen(this.channel, this.leaving.signal);
  }

  #listen(channel, signal) {
    // Who was here a moment ago is there still, and has to be shown what the page has forgotten.
    if (channel.state === "live") this.#fetch(this.room);
    const o = { signal };
    channel.on("state", ({ state, error }) => this.#state(state, error), o);
    for (const type of ["join", "leave", "count"]) channel.on(type, (event) => this.#change({ type, ...event }), o);
    channel.on("typing", ({ user }) => user !== this.me && this.#typing(user), o);
    channel.on("recovered", (event) => this.#recovered(event), o);
    channel.on("lost", (event) => this.#lost(event), o);
    channel.subscribe((message) => this.#message(message), o);
  }

  #state(state, error) {
    this.#waiting();
    if (state === "live") this.#subscribed();
    if (state === "failed") this.#shut(error.message);
  }

  #subscribed() {
    this.standing();
    this.#list();
  }

  #message(event) {
    const mine = Boolean(event.key) && event.from === this.me && this.unsent.arrived(event.key);
    if (mine) this.#waiting();
    this.tally.take(event, mine);
    this.counted(this.tally);
    this.chat.add(this.room.add(event), this.me);
    this.status({ offset: event.offset });
    this.#typists();
    if (event.from !== this.me) this.unread();
  }

  #stored(channel) {
    if (channel !== this.room?.channel) return;
    this.tally.sent += 1;
    this.counted(this.tally);
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
  #lost({ began, wait, reason }) {
    const { room } = this;
    this.status({ lost: reason });
    const dropped = room.void(began);
    this.unsent.settle(room.channel);
    this.tally.lost();
    this.#note(`Continuity was lost here: ${reason === "gap" ? "a message is missing" : reason}.${dropped ? ` The server lost ${dropped} of the messages above.` : ""}`, "bad");
    this.chat.reset(room.messages, this.me);
    setTimeout(() => this.#fetch(room), wait);
  }

  async #fetch(room) {
    if (room !== this.room) return;
    try {
      const { messages } = await this.channel.history({ limit: ANEW, reverse: true });
      if (room !== this.room) return;
      if (room.merge(messages.reverse())) this.chat.reset(room.messages, this.me);
      this.#list();
    } catch (error) {
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
      const { members, count } = await this.channel.presence();
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
    if (type === "join" && !before && !this.#isReturning(user)) this.#note(`${readable(user) ?? "Somebody"} joined`, "presence");
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
        if (room === this.room && !room.isHere(user)) this.#note(`${readable(user) ?? "Somebody"} left`, "presence");
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
      if (this.room && this.channel.state === "live") this.#list();
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
    this.chat.typing(typists.map(readable));
    this.#people();
  }

  #people() {
    const typists = this.room.typists(Date.now());
    showPeople(this.room.people(this.me), { me: this.me, count: this.room.count, typists });
    this.peopled();
  }

  #waiting() {
    const here = [...this.unsent.waiting.values()].filter(({ channel }) => channel === this.room?.channel);
    const held = this.channel?.state !== "live";
    this.chat.waiting(here.map((message) => (held && message.state === "sending" ? { ...message, state: "waiting" } : message)));
  }
}
