// Where the tabs of a room are: on which gateway, and where they point. Ephemeral: said to whoever is there, kept nowhere.

const AGAIN = 20_000; // so often a tab says that it is still there, in milliseconds
const FORGET = 50_000;
const POINTING = 6_000; // a pointer that rests for so long is taken away
const EVERY = 100; // between two moves
const CROWD = 30; // where more are, nobody says anything: each would hear of each
const MOST = 200; // tabs that are remembered, whatever strangers send

export class Stage {
  #client;
  #channel;
  #crowd;
  #changed;
  #tabs = new Map(); // tab -> {user, node, at, seen, moved}
  #at = null;
  #moved = 0;

  /** `tab` names this one among a user's; `crowd()` is how many are in the room; `changed()` is called when something has. */
  constructor(client, room, { tab, crowd = () => 1, changed = () => {} }) {
    this.#client = client;
    this.#channel = client.channel(`cursor:${room}`);
    this.tab = tab;
    this.#crowd = crowd;
    this.#changed = changed;
  }

  start(signal) {
    this.#channel.on("state", ({ state }) => state === "live" && this.#say({ hello: true }), { signal });
    this.#channel.on("lost", () => {}, { signal }); // nothing here is worth fetching
    this.#channel.subscribe((message) => this.#hear(message), { signal });
    const ticking = setInterval(() => this.#tick(), 1000);
    const saying = setInterval(() => this.#say(), AGAIN);
    signal.addEventListener("abort", () => {
      clearInterval(ticking);
      clearInterval(saying);
      clearTimeout(this.#later);
    });
  }

  /** Point at a place of the conversation, `[x, y]` in parts of its width and height, or nowhere: null. */
  point(at) {
    this.#at = at;
    const wait = this.#moved + EVERY - Date.now();
    clearTimeout(this.#later);
    if (wait > 0) {
      this.#later = setTimeout(() => this.point(this.#at), wait);
      return;
    }
    this.#moved = Date.now();
    this.#say();
  }

  #later;

  /** `[{user, node, at, tab}]` of the others. */
  get tabs() {
    return [...this.#tabs].map(([tab, { user, node, at }]) => ({ tab, user, node, at }));
  }

  #say(more = {}) {
    const node = this.#client.connection?.node;
    if (!node || this.#channel.state !== "live" || this.#crowd() > CROWD) return;
    const data = { tab: this.tab, node, at: this.#at, ...more };
    this.#channel.publish(data, { ephemeral: true, echo: false }).catch(() => {}); // the next one may arrive
  }

  #hear({ from, data }) {
    const said = read(data);
    if (!said || said.tab === this.tab || !from) return;
    const known = this.#tabs.get(said.tab);
    if (!known && this.#tabs.size >= MOST) return;
    this.#tabs.set(said.tab, { ...said, user: from, seen: Date.now() });
    if (said.hello) setTimeout(() => this.#say(), 300 * Math.random());
    this.#changed();
  }

  #tick() {
    const now = Date.now();
    let changed = false;
    for (const [tab, known] of this.#tabs) {
      if (known.at && now - known.seen > POINTING) [known.at, changed] = [null, true];
      if (now - known.seen > FORGET) changed = this.#tabs.delete(tab);
    }
    if (changed) this.#changed();
  }
}

/** What a stranger's message says, or null where it says nothing of the kind. */
function read(data) {
  const { tab, node, at, hello } = data ?? {};
  if (!isName(tab) || !isName(node)) return null;
  const pointed = Array.isArray(at) && at.length === 2 && at.every((part) => part >= 0 && part <= 1);
  return { tab, node, at: pointed ? at : null, hello: hello === true };
}

const isName = (text) => typeof text === "string" && text.length > 0 && text.length <= 64;
