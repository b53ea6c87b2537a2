// Somebody to talk to: a second client of this page, a user of its own, on another gateway than the visitor.

import { createClient } from "./client.js";
import { Credentials } from "./credentials.js";
import { Stage } from "./stage.js";

const TRIES = 10; // a new address is on another gateway by chance
const REPLY = 500; // milliseconds
const MEANWHILE = 5; // messages while the visitor's line is broken
const PACE = 120;
const STEP = 250; // between two moves of its pointer

export class Bot {
  #credentials;
  #client;
  #channel;
  #stage;
  #ending = new AbortController();
  #avoid;
  #sid = newSid();
  #tries = 0;
  #replied = 0;
  #turn = 0;

  /** Make a user for it and have it join. `avoid` is the gateway of the visitor. Throws SignInError. */
  static async join({ room, avoid }) {
    const name = `bot-${newSid().slice(0, 6)}`;
    return new Bot(await Credentials.register(name, { stored: false }), { room, avoid });
  }

  constructor(credentials, { room, avoid }) {
    this.#credentials = credentials;
    this.#avoid = avoid;
    const bot = this;
    // Whoever brings an own ?sid= stays with the gateway that it leads to; the visitor goes by a cookie.
    class OtherWay extends WebSocket {
      constructor(url, protocols) {
        super(`${url}?sid=${bot.#sid}`, protocols);
      }
    }
    this.#client = createClient({ token: ({ reason }) => credentials.token({ fresh: reason !== "first" }), WebSocket: OtherWay, transports: ["websocket"] });
    this.#client.on("state", ({ state }) => state === "online" && this.#settle());
    this.#channel = this.#client.channel(`room:${room}`);
    this.#channel.on("lost", () => {});
    this.#channel.subscribe((message) => this.#hear(message));
    this.#stage = new Stage(this.#client, room, { tab: newSid() });
    this.#stage.start(this.#ending.signal);
    const moving = setInterval(() => document.hidden || this.#move(), STEP);
    this.#ending.signal.addEventListener("abort", () => clearInterval(moving));
    this.#client.connect();
  }

  get user() {
    return this.#credentials.user;
  }

  /** The visitor is on that gateway now. */
  avoid(node) {
    this.#avoid = node;
    this.#tries = 0;
    this.#settle();
  }

  #settle() {
    const node = this.#client.connection?.node;
    if (!node || node !== this.#avoid || this.#tries >= TRIES) return;
    this.#tries += 1;
    this.#sid = newSid();
    this.#client.reconnect();
  }

  /** Write while the visitor cannot read. */
  async write() {
    for (let number = 1; number <= MEANWHILE && !this.#ending.signal.aborted; number += 1) {
      this.#say(`${number} of ${MEANWHILE}, written while your line was broken`);
      await new Promise((resolve) => setTimeout(resolve, PACE));
    }
  }

  #hear({ data, from }) {
    // Bots do not answer bots: they would never end.
    if (!from || from === this.user || data?.bot || Date.now() < this.#replied + REPLY) return;
    this.#replied = Date.now();
    setTimeout(() => this.#say(`I read that on ${this.#client.connection?.node ?? "my gateway"}.`), REPLY);
  }

  #say(text) {
    if (this.#ending.signal.aborted) return;
    this.#channel.publish({ text, bot: true }).catch(() => {}); // it was sent away
  }

  #move() {
    this.#turn += 0.12;
    this.#stage.point([0.5 + 0.3 * Math.cos(this.#turn), 0.45 + 0.25 * Math.sin(2 * this.#turn)]);
  }

  leave() {
    this.#ending.abort();
    this.#client.close();
  }
}

function newSid() {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (number) => number.toString(36).padStart(7, "0")).join("");
}
