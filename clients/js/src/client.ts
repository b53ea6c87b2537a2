import { type Attempt, createAttempt, type Hooks, request } from "./attempt.js";
import { backoff } from "./backoff.js";
import { createBlocked } from "./blocked.js";
import { createRoom, key, type Core, type Room } from "./channel.js";
import { leastWait, verdict } from "./codes.js";
import { createEmitter, releasing } from "./emitter.js";
import { aborted, disconnected, OpenlineError, refusal, temporary, Unauthorized } from "./errors.js";
import { json, websocket } from "./line.js";
import { isHidden, type PageEvents, watchPage } from "./page.js";
import { createPace } from "./outbox.js";
import { createPositions } from "./positions.js";
import { createSender } from "./sender.js";
import { createTokens, type Token } from "./tokens.js";
import type {
  AnyChannels,
  Channels,
  Client,
  ClientEvents,
  ClientOptions,
  Connected,
  ConnectionState,
  Dial,
  Frame,
  Start,
  TransportName,
} from "./types.js";

/** Milliseconds: a connection that lives so long starts the backoff again; while on a stream, WebSocket is tried so often. */
const STEADY = 5_000;
const TRIAL = 300_000;
/** Whoever is looked at, or has a network again, does not sit out a long wait. */
const HURRY = 500;
/** The server ends the line that we have left, unseen by others. Closing it ourselves at once would show a leave. */
const RETIRE = 2_000;
/** For a sign of life, by what made us doubt. */
const DOUBT_OFFLINE = 1_000;
const DOUBT = 3_000;

/** A client. It does nothing until `connect()`, so it may be made on a server too. */
export const createClient = <C extends Channels = AnyChannels>(options: ClientOptions = {}): Client<C> => {
  const { random = Math.random, log = () => {}, probe = 10, backoff: pauses = { base: 0.5, cap: 20 } } = options;
  const { limit = 500, seconds = 240 } = options.queue ?? {};
  const events = createEmitter<ClientEvents>();
  const positions = createPositions(options.positions);
  const tokens = createTokens(options.token);
  const blocked = createBlocked(options.transports);
  const rooms = new Map<string, Room>();

  let state: ConnectionState = "idle";
  let failure: OpenlineError | null = null;
  let latency: number | undefined;
  let current: Attempt | null = null;
  let next: Attempt | null = null; // opens beside the current one
  let left: Attempt | null = null; // the one before: answers to what is under way still count
  let hosted = new Set<string>(); // by the server, on the newest line
  let failures = 0;
  let expiries = 0; // in a row
  let ended: Token | undefined; // the token that has ended, and may not be used again
  let user: string | null | undefined;
  let previous: string | undefined; // the connection before, which ends when we come back
  let alias: string | undefined; // who we are to the server while we have no token
  let leavePage: (() => void) | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined; // until the next attempt

  const become = (now: ConnectionState, error: OpenlineError | null = null, wait?: number): void => {
    if (now === state && now !== "waiting") return;
    state = now;
    failure = error;
    log("debug", now, { wait, error: error?.message });
    events.emit("state", { state, error, wait });
  };
  const report = (error: OpenlineError): void => {
    log("warn", error.message, { code: error.code });
    events.emit("error", error);
  };
  /** No token: a person has to help, or it is tried again. */
  const refused = (cause: unknown): void => {
    if (cause instanceof Unauthorized) fail(cause);
    else report(temporary("unauthorized", "no token, or no way to connect: tried again", cause));
  };

  // ---- lines

  const dial = (): Dial => {
    const url = options.url ?? globalThis.location?.origin;
    if (!url) throw new TypeError("openline: give createClient the `url` of the front door");
    return {
      url: String(url).replace(/^ws/, "http").replace(/\/+$/, ""),
      codec: options.codec ?? json,
      WebSocket: options.WebSocket,
      fetch: options.fetch,
    };
  };

  const open = (only?: TransportName): Attempt => {
    const to = dial();
    const hooks: Hooks = {
      async prepare({ signal }) {
        /** Whether the front door answers HTTP; anything is an answer. */
        const answers = () =>
          (to.fetch ?? fetch)(`${to.url}/healthz`, { mode: "no-cors", cache: "no-store", signal }).then(
            () => true,
            () => false,
          );
        const [token, name] = await Promise.all([
          tokens.get(ended === undefined ? "first" : "expired", signal, ended),
          only ?? blocked.choose(Date.now(), answers),
        ]);
        if (name === "websocket") return { name, token, transport: websocket };
        const { stream } = await (options.fallback ?? (() => import("./fallback.js")))();
        return { name, token, transport: stream };
      },
      open(attempt) {
        const since = Object.fromEntries([...hosted].map((name) => [name, positions.get(name)]));
        const { token } = attempt;
        alias ??= key();
        attempt.ask({ type: "auth", since, previous, ...(token === null ? { client: alias } : { token }) });
        for (const [name, room] of rooms) if (!hosted.has(name)) room.join(attempt);
      },
      event: receive,
      ended: (...end) => finished(only, ...end),
      quiet: ({ greeting }, waiting) =>
        1000 * (probe && (waiting || !isHidden()) ? probe : (greeting?.ping ?? 25) + 5),
    };
    return createAttempt(to, hooks);
  };

  const later = (ms: number, work: () => void): void => {
    clearTimeout(timer);
    timer = setTimeout(work, ms);
  };

  const start = (): void => {
    clearTimeout(timer);
    become("connecting");
    if (state === "connecting") current ??= open(); // a listener may have closed the client, or begun anew
  };

  /** Open another line beside the present one, and change over when it is greeted. */
  const move = (only?: TransportName): void => {
    if (next || !standing()) return;
    clearTimeout(timer);
    next = open(only);
    if (!only) become("moving");
  };

  /** No line any more. */
  const drop = (code: number): void => {
    const lines = [current, next, left];
    current = next = left = null;
    clearTimeout(timer);
    for (const line of lines) line?.end(code);
    rooms.forEach((room) => room.interrupt());
  };

  /** For good: what waits is told. */
  const stop = (error: OpenlineError): void => {
    drop(1000);
    leavePage?.();
    tokens.forget();
    sender.clear(error);
  };

  const fail = (error: OpenlineError): void => {
    stop(error);
    become("failed", error);
  };

  const finished = (only: TransportName | undefined, ...[attempt, code, reason, retryAfter, cause]: Parameters<Hooks["ended"]>): void => {
    log("debug", "line ended", { code, reason, transport: attempt.transport });
    if (cause) refused(cause);
    else if (!attempt.greeting) blocked.failed(attempt.transport, attempt.heard, code);
    const what = verdict(code);
    const least = leastWait(code, reason, retryAfter);
    const error = new OpenlineError(code === 4001 || what === "renew" ? "unauthorized" : "closed", reason || `closed with ${code}`, {
      temporary: what !== "stay",
      close: code,
      cause,
    });
    if (attempt === next) {
      next = null;
      if (only) return scheduleTrial(); // WebSocket is still blocked
    } else if (attempt !== current) return;
    else {
      current = next;
      next = null;
      clearTimeout(timer);
      rooms.forEach((room) => room.interrupt());
      if (current) return become("connecting");
    }
    const renewing = what === "renew";
    if (what === "stay" || (renewing && !current && !tokens.renewable)) return fail(error);
    if (renewing) ended = attempt.token;
    if (renewing && !current && !expiries++) return start();
    const wait = 1000 * backoff(failures++, least, pauses, random);
    later(wait, current ? move : start); // before anybody hears of it, who may want no more of it
    if (current) become("online");
    else become("waiting", error, wait);
  };

  const scheduleTrial = (): void => {
    if (current?.transport !== "stream" || options.transports?.length === 1) return;
    current.after("trial", TRIAL, () => (isHidden() ? scheduleTrial() : move("websocket")));
  };

  const greeted = (attempt: Attempt, { type: _, ...greeting }: Frame): void => {
    const now = { ...greeting, transport: attempt.transport } as unknown as Connected;
    const changed = user !== undefined && user !== now.user;
    blocked.works(attempt.transport, Date.now());
    previous = now.connection;
    user = now.user;
    expiries = 0;
    ended = undefined;
    if (changed) return another();
    if (attempt === next) {
      const old = (left = current);
      current = next;
      next = null;
      old?.after("retire", RETIRE, () => old.end(1000));
    }
    attempt.greeting = now;
    if (now.limits) attempt.pace = createPace(performance.now(), 0.9 * now.limits.commands!, 0.75 * now.limits.burst!); // null: no limit
    hosted = new Set(Object.keys(now.channels));
    attempt.after("steady", STEADY, () => {
      failures = 0;
    });
    for (const [channel, begin] of Object.entries(now.channels)) receive(attempt, { ...begin, type: "subscribed", channel });
    rooms.forEach((room) => room.join(attempt));
    scheduleTrial();
    become("online");
    sender.pump();
  };

  /** The user has changed: nothing of the other one's may be used or shown. */
  const another = (): void => {
    positions.clear();
    hosted.clear();
    previous = undefined;
    sender.clear(disconnected("the user has changed"));
    drop(1000);
    rooms.forEach((room) => room.renew());
    start();
  };

  // ---- what comes in

  function receive(attempt: Attempt, event: Frame): void {
    const { type, channel } = event;
    if (attempt !== current && !(attempt === next && type === "connected")) return;
    if (type === "connected") return greeted(attempt, event);
    if (type === "expiring") return void renew(attempt);
    if (type === "reconnect") return attempt.after("leave", 1000 * event.within * random(), move);
    if (type === "direct") return void events.emit("direct", event as never);
    if (type === "error") return report(refusal(event as never));
    if (!channel || type === "ack") return;
    if (type === "subscribed") hosted.add(channel);
    if (type === "unsubscribed") hosted.delete(channel);
    const room = rooms.get(channel);
    if (room) room.receive(attempt, event);
    // A channel that only the server subscribes: its place is kept for our return.
    else if (type === "message") positions.take(channel, event.offset, event.skipped);
    else if (type === "reset") positions.reset(channel, event as never);
    else if (type === "subscribed") positions.begin(channel, event as unknown as Start);
    else if (type === "unsubscribed") positions.forget(channel);
  }

  const renew = async (attempt: Attempt): Promise<void> => {
    if (!tokens.renewable) return;
    const again = () => attempt.after("renew", 3000 + 2000 * random(), () => renew(attempt));
    try {
      const token = await tokens.get("renew", attempt.signal, attempt.token);
      if (attempt.signal.aborted) return;
      attempt.ask({ type: "auth", token }, (error, { expires }) => {
        if (error?.code === "forbidden") return another();
        if (error?.code === "disconnected") return;
        if (error) return again();
        attempt.token = token;
        attempt.greeting = { ...attempt.greeting!, expires };
      });
    } catch (cause) {
      if (attempt.signal.aborted) return;
      again();
      refused(cause); // which may end the attempt, and its timers
    }
  };

  const standing = () => (current?.greeting ? current : null);
  const sender = createSender(limit, standing, (channel) => !rooms.get(channel)?.joining());

  // ---- the page

  const doubt = (patience: number): void => standing()?.probe(patience);
  const visible = (): void => {
    if (state === "waiting") later(HURRY * random(), start);
    doubt(DOUBT);
  };
  const page: PageEvents = {
    online() {
      failures = 0;
      visible();
    },
    offline: () => doubt(DOUBT_OFFLINE),
    changed() {
      doubt(DOUBT);
      if (standing()?.transport === "stream") move("websocket");
    },
    visible,
    stored() {
      drop(1001);
      become("waiting");
    },
    restored() {
      failures = 0;
      start();
    },
  };

  // ---- what applications see

  const core: Core = {
    positions,
    random,
    seconds,
    lines: () => [current, next].filter((line) => line !== null),
    hosted: () => hosted,
    mutes: sender.mutes,
    call: (...call) => (state === "failed" ? Promise.reject(failure) : sender.call(...call)),
    pump: sender.pump,
    enter(name, room) {
      const present = rooms.get(name) ?? room;
      rooms.set(name, present);
      return present;
    },
    forget: (name, room) => rooms.get(name) === room && rooms.delete(name),
  };

  const client: Client<C> = {
    get state() {
      return state;
    },
    get connection() {
      return standing()?.greeting ?? null;
    },
    get latency() {
      return latency;
    },
    connect() {
      if (state !== "idle" && state !== "failed") return;
      dial(); // throws before anything has begun
      failures = expiries = 0;
      ended = undefined;
      leavePage = watchPage(page);
      start();
    },
    close() {
      stop(disconnected("the client was closed"));
      rooms.forEach((room) => room.close());
      become("idle");
    },
    reconnect() {
      if (state === "waiting") start();
      else if (standing()) move();
      else client.connect();
    },
    channel(name: string, given?: object): never {
      let room = rooms.get(name);
      if (!room) rooms.set(name, (room = createRoom(core, name, given ?? {})));
      else if (given && Object.entries(given).some(([option, value]) => room?.options[option as never] !== value)) {
        console.warn(`openline: ${name} is in use with other options, which stay`);
      }
      return room.channel as never;
    },
    on: (event, listener, o) => events.on(event, listener, o?.signal),
    online: ({ signal } = {}) =>
      new Promise((resolve, reject) => {
        const settle = () => {
          if (standing()) resolve(client.connection!);
          else if (state === "failed" || state === "idle") reject(failure ?? disconnected());
          else return;
          release();
        };
        const listening = events.on("state", settle);
        const release = releasing(() => {
          listening();
          reject(aborted()); // unless it is settled
        }, signal);
        settle();
      }),
    async ping() {
      const from = performance.now();
      await request(standing(), { type: "ping" });
      return (latency = performance.now() - from);
    },
    [Symbol.dispose]: () => client.close(),
  };
  return client;
};
