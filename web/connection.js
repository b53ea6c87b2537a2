// The native protocol over one WebSocket that comes back by itself and misses nothing.
//
// `on(event, listener)` reports: state, answering {answering}, connected, message, join, leave, count, typing, direct, unsubscribed,
// recovered {channel, count}, lost {channel, began, within, reason}, subscribed {channel}, refused {channel, error}
// and ended {code, text}.

import { Backoff } from "./backoff.js";
import { afterClose } from "./close-codes.js";
import { Positions } from "./positions.js";
import { Refused, Requests } from "./requests.js";

const OPENING = 10_000; // until `connected`, in milliseconds
const ANSWER = 10_000; // until something comes after our own ping
const CHECK = 4_000; // between two questions whether the store behind the gateway answers
const AGAIN = 1_000; // the same while it does not
const SLOW = 3_000; // without an answer for so long, it does not
const STORED = new Set(["publish", "history", "presence"]); // what is answered by the store alone
const STEADY = 5_000; // a connection that lives so long starts the backoff again

export class Connection {
  /** `credentials.token({fresh})` gives a token, and throws an error with `final` set when only a person can help. */
  constructor(url, credentials, { random = Math.random } = {}) {
    this.url = url;
    this.credentials = credentials;
    this.random = random;
    this.state = "idle";
    this.positions = new Positions();
    this.backoff = new Backoff({ random });
    this.listeners = new Map();
    this.wanted = new Map(); // channels that we subscribe to: {last}
    this.joined = new Set(); // those of them whose subscription stands
    this.replays = new Map(); // channels being recovered: messages so far
    this.earlier = new Set(); // channels whose newest messages from before we came are under way
    this.timers = new Map();
    this.requests = new Requests();
    this.socket = null;
    this.leaving = null; // the connection before, while the next one opens
    this.fresh = false;
    this.id = undefined; // of the connection, or of the one before: the server ends that one when we come back
    this.asking = false; // whether we wait for an answer to that very question
    this.answering = false; // whether a publish would be answered: a gateway lives on when the store hangs
    window.addEventListener("offline", () => this.#doubt());
    window.addEventListener("online", () => this.#doubt());
    document.addEventListener("visibilitychange", () => document.hidden || this.#look());
  }

  on(event, listener) {
    if (!this.listeners.has(event)) this.listeners.set(event, []);
    this.listeners.get(event).push(listener);
    return this;
  }

  /** Connect and stay connected until `close`. */
  open() {
    if (this.state === "idle" || this.state === "ended") this.#connect();
  }

  close() {
    this.#forget(1000);
    this.#become("idle");
  }

  /** Subscribe now and after every return: first to the `last` newest messages, later from the position. */
  subscribe(channel, { last = 0 } = {}) {
    this.wanted.set(channel, { last });
    if (this.state === "online") this.#join(channel);
  }

  unsubscribe(channel) {
    this.wanted.delete(channel);
    this.positions.delete(channel);
    if (this.joined.delete(channel)) this.request("unsubscribe", { channel }).catch(() => {});
  }

  /** Send a command; its ack, or Refused. */
  request(type, fields = {}) {
    if (this.state !== "online") {
      const refusal = { code: "disconnected", message: "not connected", temporary: true };
      return Promise.reject(new Refused(refusal));
    }
    const [id, answer] = this.requests.open();
    this.#send({ type, id, ...fields });
    if (STORED.has(type)) this.#judge(answer);
    return answer;
  }

  typing(channel) {
    if (this.joined.has(channel)) this.#send({ type: "typing", channel });
  }

  // ---- opening

  async #connect() {
    this.#become("connecting");
    const attempt = {};
    this.attempt = attempt;
    let token;
    try {
      token = await this.credentials.token({ fresh: this.fresh });
    } catch (error) {
      if (this.attempt !== attempt) return;
      if (error.final) this.#end(4001, error.message);
      else this.#retry(0);
      return;
    }
    if (this.attempt !== attempt) return;
    this.fresh = false;
    this.#dial(token);
  }

  #dial(token) {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    // Never in the address: addresses end up in logs.
    socket.onopen = () => {
      const since = this.positions.of((channel) => !this.wanted.has(channel));
      this.#send({ type: "auth", token, since, previous: this.id });
    };
    socket.onmessage = ({ data }) => socket === this.socket && this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => socket === this.socket && this.#closed(code, reason);
    this.#after("opening", OPENING, () => this.#drop());
  }

  #connected(event) {
    this.#cancel("opening");
    this.#leave();
    this.#after("steady", STEADY, () => this.backoff.reset());
    this.silence = event.ping * 1000 + ANSWER;
    this.id = event.connection;
    this.#become("online");
    this.#emit("connected", event);
    for (const [channel, start] of Object.entries(event.channels)) this.#begin(channel, start);
    for (const channel of this.wanted.keys()) this.#join(channel);
  }

  async #join(channel) {
    const since = this.positions.get(channel);
    const place = since ? { since } : { last: this.wanted.get(channel).last };
    try {
      const ack = await this.request("subscribe", { channel, ...place });
      if (!this.wanted.has(channel)) {
        this.request("unsubscribe", { channel }).catch(() => {});
        return;
      }
      this.joined.add(channel);
      if (!this.answering) this.#check();
      this.#begin(channel, ack);
      if (place.last) this.#earlier(channel);
      this.#emit("subscribed", { channel, count: ack.count });
    } catch (error) {
      this.#notJoined(channel, error);
    }
  }

  #notJoined(channel, error) {
    if (!this.wanted.has(channel) || error.code === "disconnected") return;
    if (error.temporary) {
      const wait = 1000 * (error.retryAfter || 1) + 1000 * this.random();
      this.#after(`join ${channel}`, wait, () => this.wanted.has(channel) && this.#join(channel));
    } else {
      this.wanted.delete(channel);
      this.#emit("refused", { channel, error });
    }
  }

  /** A subscription stands from `start` on: an ack, or an entry of `connected`. */
  #begin(channel, start) {
    this.positions.set(channel, start);
    if (start.recovered === false) {
      const reason = "the server no longer has all that was missed";
      this.#emit("lost", { channel, began: start.began, within: 1, reason });
    } else if (start.recovered) {
      this.replays.set(channel, 0);
      // What was missed comes before anything newer, so before the answer to this.
      const done = () => this.#recovered(channel);
      this.request("ping").then(done, () => this.replays.delete(channel));
    }
  }

  /** What was there before we came arrives before the answer to this, as what was missed does. */
  #earlier(channel) {
    this.earlier.add(channel);
    const done = () => this.earlier.delete(channel);
    this.request("ping").then(done, done);
  }

  #recovered(channel) {
    const count = this.replays.get(channel);
    this.replays.delete(channel);
    this.#emit("recovered", { channel, count });
  }

  // ---- what comes in

  #receive(event) {
    this.#watch();
    switch (event.type) {
      case "connected":
        return this.#connected(event);
      case "ack":
      case "pong":
        return void this.requests.settle(event);
      case "error":
        return void (this.requests.settle(event) || this.#emit("refused", { error: new Refused(event) }));
      case "message":
        return this.#message(event);
      case "reset":
        this.positions.set(event.channel, event);
        return this.#emit("lost", event);
      case "subscribed":
        return this.#begin(event.channel, event);
      case "unsubscribed":
        return this.#unsubscribed(event);
      case "expiring":
        return void this.#renew();
      case "reconnect":
        return this.#after("leave", 1000 * event.within * this.random(), () => this.#move());
      case "ping":
        return this.#send({ type: "pong" });
      default:
        return this.#emit(event.type, event);
    }
  }

  #message(event) {
    const order = this.positions.take(event);
    if (order === "old") return;
    if (order === "gap") {
      // The server promises that this cannot be; were it so, silence would be the worst answer.
      const { channel, offset } = event;
      this.#emit("lost", { channel, began: offset - 1, within: 1, reason: "a message is missing" });
    }
    const replayed = this.replays.get(event.channel);
    if (replayed !== undefined) this.replays.set(event.channel, replayed + 1);
    const earlier = this.earlier.has(event.channel);
    this.#emit("message", { ...event, recovered: replayed !== undefined, earlier });
  }

  #unsubscribed(event) {
    this.wanted.delete(event.channel);
    this.joined.delete(event.channel);
    this.positions.delete(event.channel);
    this.#emit("unsubscribed", event);
  }

  async #renew() {
    try {
      const token = await this.credentials.token({ fresh: true });
      await this.request("auth", { token });
    } catch (error) {
      // In the end the server closes with 4200, and coming back asks for a token again.
      if (!error.final) this.#after("renew", 3000 + 2000 * this.random(), () => this.#renew());
    }
  }

  /** A connection can die without a word: after a long silence ask, and then give up on it. */
  #watch() {
    this.#after("silence", this.silence ?? OPENING, () => {
      this.request("ping").catch(() => {});
      this.#after("silence", ANSWER, () => this.#drop());
    });
  }

  // ---- whether a publish would be answered

  /** Ask the store something small, again and again while somebody may look; one question at a time. */
  async #check() {
    const [channel] = this.joined;
    if (channel === undefined || this.asking || document.hidden || this.state !== "online") return;
    this.asking = true;
    await this.request("history", { channel, limit: 1 }).catch(() => {});
    this.asking = false;
    if (this.state === "online") this.#after("check", this.answering ? CHECK : AGAIN, () => this.#check());
  }

  async #judge(answer) {
    const slow = setTimeout(() => this.#answers(false), SLOW);
    try {
      await answer;
      this.#answers(true);
    } catch (error) {
      if (error.code !== "disconnected") this.#answers(error.code !== "unavailable");
    } finally {
      clearTimeout(slow);
    }
  }

  #answers(answering) {
    if (this.answering === answering) return;
    this.answering = answering;
    this.#emit("answering", { answering });
  }

  /** The network has gone or has come back: what was true may be over. */
  #doubt() {
    if (this.state !== "online") return void this.#hurry();
    this.#answers(false);
    this.#check();
    this.request("ping").catch(() => {});
    this.#after("silence", SLOW, () => this.#drop());
  }

  // ---- closing and coming back

  #closed(code, reason) {
    this.#forget();
    const { action, wait, text } = afterClose(code, reason);
    if (action === "stay") return this.#end(code, text);
    this.fresh = action === "renew";
    return this.#retry(wait);
  }

  #drop() {
    this.#forget(4000);
    this.#retry(0);
  }

  /** The gateway asked us to go. The old connection stays until the new one stands, so that presence shows no leave. */
  #move() {
    this.leaving = this.socket;
    this.#forget();
    this.#connect();
  }

  #retry(least) {
    const seconds = this.backoff.next(least);
    this.#become("waiting", { seconds });
    this.#after("retry", 1000 * seconds, () => this.#connect());
  }

  #look() {
    this.#hurry();
    this.#check();
  }

  /** Somebody looks at the page, or the network is back: do not sit out a long wait. */
  #hurry() {
    if (this.state === "waiting") this.#after("retry", 500 * this.random(), () => this.#connect());
  }

  #end(code, text) {
    this.#forget();
    this.#become("ended", { code, text });
    this.#emit("ended", { code, text });
  }

  #forget(code) {
    const { socket } = this;
    this.socket = null;
    this.attempt = null;
    for (const name of [...this.timers.keys()]) this.#cancel(name);
    this.joined.clear();
    this.replays.clear();
    this.answering = false;
    this.requests.abandon();
    if (code !== undefined) {
      socket?.close(code);
      this.#leave();
    }
  }

  #leave() {
    this.leaving?.close(1000);
    this.leaving = null;
  }

  // ---- small things

  #send(command) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(command));
  }

  #become(state, detail = {}) {
    this.state = state;
    this.#emit("state", { state, ...detail });
  }

  #emit(event, detail) {
    for (const listener of this.listeners.get(event) ?? []) listener(detail);
  }

  #after(name, milliseconds, work) {
    this.#cancel(name);
    const timer = setTimeout(() => {
      this.timers.delete(name);
      work();
    }, milliseconds);
    this.timers.set(name, timer);
  }

  #cancel(name) {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
  }
}
