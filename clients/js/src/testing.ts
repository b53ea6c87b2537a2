import { createClient } from "./client.js";
import type { ErrorCode } from "./errors.js";
import type { AnyChannels, Channels, Client, ClientOptions, Frame, Member, Position, Published, Stored } from "./types.js";

/** What a test may do to the server's side, and see of it. */
export interface TestServer {
  /** What the client has published, in order: data, key and whether it was ephemeral. */
  readonly published: { channel: string; data: unknown; key?: string; conflate_key?: string; ephemeral?: boolean }[];
  /** Every command that came, in order. */
  readonly received: Frame[];
  /** How many lines are open. */
  readonly connections: number;
  /** Publish as somebody else, or as the back end without `from`. */
  publish(channel: string, data: unknown, o?: { from?: string | null; key?: string; conflate_key?: string; tags?: { [name: string]: string } }): Position;
  /** Somebody comes into a channel, or into all that the client subscribes; calling what is returned leaves. */
  join(user: string | null, channel?: string, info?: unknown): () => void;
  /** Somebody types in a channel. */
  typing(user: string | null, channel: string): void;
  /** Send something to this client alone. */
  direct(data: unknown): void;
  /** Cut or close the line, with what a server could say: 1006, 4100 and the seconds as reason, 4200, ... */
  drop(code?: number, reason?: string): void;
  /** This node is leaving: `reconnect` within so many seconds. */
  drain(within: number): void;
  /** Lose a channel's history: a new epoch. */
  lose(channel: string, reason?: string): void;
  /** Refuse the next `times` (1) commands of a type; "connect": the next lines do not open. */
  refuse(type: string, code: ErrorCode, o?: { times?: number; retryAfter?: number }): void;
  /** The lines that are open say nothing any more, and hear nothing; new ones work. */
  silence(): void;
  /** Subscribe the client, as a back end may. */
  subscribe(channel: string): void;
  unsubscribe(channel: string, reason?: string): void;
  /** Say that the token ends, or that it has ended. */
  expire(o?: { closed?: boolean }): void;
  /** From now on lines are of this user. */
  become(user: string | null): void;
  /** Until everything that is under way has arrived; needs no timer. */
  settle(): Promise<void>;
}

interface Room {
  epoch: string;
  offset: number;
  began: number;
  history: (Stored & { connection?: string })[];
  keys: Map<string, Position>;
  members: Map<string, Member>;
}

interface Peer {
  id: string;
  user: string | null;
  open: boolean;
  silent: boolean;
  subscribed: Set<string>;
  send(frame: Frame): void;
  close(code: number, reason: string): void;
}

const TURNS = 25;

/**
 * The real client over lines in memory, whose other end keeps offsets, epochs, history, keys and presence.
 *
 * `user`: whose token it is, null for anonymous. `subscribed`: what the server subscribes for every connection.
 * Everything else is an option of `createClient`. Fake timers may be used; nothing here has a timer.
 */
export const createTestClient = <C extends Channels = AnyChannels>({
  user = "me",
  subscribed = [],
  ...options
}: { user?: string | null; subscribed?: string[] } & ClientOptions = {}): { client: Client<C>; server: TestServer } => {
  const rooms = new Map<string, Room>();
  const peers = new Set<Peer>();
  const hosted = new Set(subscribed);
  const refusals: { type: string; code: ErrorCode; times: number; retryAfter: number | undefined }[] = [];
  const published: TestServer["published"] = [];
  const received: Frame[] = [];
  let me = user;
  let serial = 0;
  let under = 0; // ways that frames are on

  const later = (work: () => void): void => {
    under += 1;
    queueMicrotask(() => {
      under -= 1;
      work();
    });
  };
  const room = (name: string): Room => {
    let found = rooms.get(name);
    if (!found) {
      found = { epoch: `e${++serial}`, offset: 0, began: 0, history: [], keys: new Map(), members: new Map() };
      rooms.set(name, found);
    }
    return found;
  };
  const place = ({ epoch, offset }: Position): Position => ({ epoch, offset });
  const tell = (channel: string, frame: Frame, but?: Peer): void => {
    for (const peer of peers) if (peer !== but && peer.subscribed.has(channel)) peer.send({ ...frame, channel });
  };
  const counts = ({ members }: Room) => ({
    count: members.size,
    users: new Set([...members.values()].map((member) => member.user)).size,
  });

  const enter = (channel: string, member: Member, but?: Peer): void => {
    const at = room(channel);
    const first = ![...at.members.values()].some((other) => other.user === member.user);
    at.members.set(member.connection, member);
    const { user: who, connection, info } = member;
    tell(channel, { type: "join", user: who, connection, ...(info !== undefined && { info }), first, ...counts(at) }, but);
  };
  const exit = (channel: string, connection: string): void => {
    const at = room(channel);
    const member = at.members.get(connection);
    if (!member) return;
    at.members.delete(connection);
    const last = ![...at.members.values()].some((other) => other.user === member.user);
    tell(channel, { type: "leave", user: member.user, connection, last, ...counts(at) });
  };

  const store = (channel: string, fields: Omit<Stored, "offset" | "ts">, by?: { peer: Peer; id: unknown; echo: boolean }): Published => {
    const at = room(channel);
    const known = fields.key !== undefined && at.keys.get(fields.key);
    if (known) return { ...known, duplicate: true };
    const stored: Stored = { ...fields, offset: ++at.offset, ts: Date.now() };
    at.history.push(stored);
    if (fields.key !== undefined) at.keys.set(fields.key, place(at));
    tell(channel, { type: "message", ...stored }, by && !by.echo ? by.peer : undefined);
    return { ...place(at), duplicate: false };
  };

  /** Where a subscription begins, and what it is sent first. */
  const begin = (peer: Peer, channel: string, { since, last = 0 }: { since?: Position; last?: number }) => {
    const at = room(channel);
    peer.subscribed.add(channel);
    const recovered = since && since.epoch === at.epoch && since.offset <= at.offset;
    const offset = recovered ? since.offset : since ? at.offset : Math.max(at.offset - last, at.began);
    const missed = at.history.filter((stored) => stored.offset > offset);
    enter(channel, { user: peer.user, connection: peer.id, since: Date.now() }, peer);
    return {
      start: { epoch: at.epoch, offset, ...(since && { recovered }), ...(since && !recovered && { began: at.began }) },
      missed: missed.map((stored) => ({ type: "message", channel, ...stored })),
    };
  };

  const greet = (peer: Peer, { id, token, since = {} }: Frame): void => {
    peer.user = token == null ? null : me;
    const channels: { [channel: string]: object } = {};
    const missed: Frame[] = [];
    for (const channel of hosted) {
      const { start, missed: replay } = begin(peer, channel, { since: since[channel] });
      channels[channel] = start;
      missed.push(...replay);
    }
    peer.send({ type: "connected", connection: peer.id, user: peer.user, node: "test", expires: null, ping: 25, channels });
    peer.send({ type: "ack", id, user: peer.user, expires: null });
    for (const frame of missed) peer.send(frame);
  };

  const refused = (type: string) => {
    const found = refusals.find((refusal) => refusal.type === type);
    if (found && --found.times <= 0) refusals.splice(refusals.indexOf(found), 1);
    return found;
  };

  const handle = (peer: Peer, greeted: boolean, command: Frame): void => {
    const { type, id, channel } = command;
    received.push(command);
    const ack = (fields: object) => peer.send({ type: "ack", id, ...fields });
    const error = (code: ErrorCode, message: string, more: object = {}) =>
      peer.send({ type: "error", id, code, message, temporary: false, ...more });
    const no = refused(type);
    if (no) {
      const temporary = no.code === "rate_limited" || no.code === "unavailable";
      return error(no.code, `refused by the test: ${no.code}`, { temporary, ...(temporary && { retry_after: no.retryAfter ?? 1 }) });
    }
    if (type === "auth") return greeted ? ack({ user: peer.user, expires: null }) : greet(peer, command);
    if (type === "ping") return peer.send({ type: "pong", id });
    if (type === "subscribe") {
      if (peer.subscribed.has(channel)) return error("already_subscribed", "this connection is subscribed to it already");
      const { start, missed } = begin(peer, channel, command as { since?: Position; last?: number });
      ack({ channel, ...start, count: room(channel).members.size });
      for (const frame of missed) peer.send(frame);
    } else if (type === "unsubscribe") {
      peer.subscribed.delete(channel);
      exit(channel, peer.id);
      ack({ channel });
    } else if (type === "publish") {
      const { data, key, conflate_key, ephemeral, echo = true } = command;
      const kept = { data, ...(key && { key }), ...(conflate_key && { conflate_key }) };
      published.push({ channel, ...kept, ...(ephemeral && { ephemeral }) });
      if (ephemeral) {
        tell(channel, { type: "message", data, from: peer.user, ts: Date.now() }, echo ? undefined : peer);
        return ack({});
      }
      ack(store(channel, { ...kept, from: peer.user }, { peer, id, echo }));
    } else if (type === "typing") {
      tell(channel, { type: "typing", user: peer.user }, peer);
    } else if (type === "presence") {
      const at = room(channel);
      ack({ members: [...at.members.values()], ...counts(at), cursor: null });
    } else if (type === "history") {
      const at = room(channel);
      const { since, limit = 100, reverse } = command;
      const after = (stored: Stored) => !since || (reverse ? stored.offset < since.offset : stored.offset > since.offset);
      const all = at.history.filter(after);
      if (reverse) all.reverse();
      ack({ ...place(at), messages: all.slice(0, limit), more: all.length > limit });
    }
  };

  /** As much of a WebSocket as the client uses. */
  class TestSocket {
    readyState = 0;
    binaryType = "blob";
    onopen: (() => void) | null = null;
    onerror: (() => void) | null = null;
    onmessage: ((event: { data: string }) => void) | null = null;
    onclose: ((event: { code: number; reason: string }) => void) | null = null;
    #peer: Peer;
    #greeted = false;

    constructor(_url: string, _protocol: string) {
      const socket = this;
      this.#peer = {
        id: `c${++serial}`,
        user: null,
        open: true,
        silent: false,
        subscribed: new Set(),
        send(frame) {
          const data = JSON.stringify(frame);
          later(() => socket.readyState === 1 && !this.silent && socket.onmessage?.({ data }));
        },
        close(code, reason) {
          later(() => {
            if (socket.readyState === 3) return;
            socket.#gone();
            socket.onclose?.({ code, reason });
          });
        },
      };
      if (refused("connect")) return this.#peer.close(1006, "") as never;
      peers.add(this.#peer);
      later(() => {
        if (this.readyState !== 0) return;
        this.readyState = 1;
        this.onopen?.();
      });
    }

    send(data: string): void {
      const command = JSON.parse(data) as Frame;
      later(() => {
        if (!this.#peer.open || this.#peer.silent) return;
        const greeted = this.#greeted;
        this.#greeted ||= command.type === "auth";
        handle(this.#peer, greeted, command);
      });
    }

    close(): void {
      this.#gone();
    }

    #gone(): void {
      const peer = this.#peer;
      this.readyState = 3;
      if (!peer.open) return;
      peer.open = false;
      peers.delete(peer);
      for (const channel of peer.subscribed) exit(channel, peer.id);
    }
  }

  const each = (work: (peer: Peer) => void): void => [...peers].forEach(work);
  const server: TestServer = {
    published,
    received,
    get connections() {
      return peers.size;
    },
    publish: (channel, data, o = {}) => place(store(channel, { data, ...o }) as Position),
    join(who, channel, info) {
      const names = channel ? [channel] : [...new Set([...peers].flatMap((peer) => [...peer.subscribed]))];
      const connection = `c${++serial}`;
      for (const name of names) enter(name, { user: who, connection, info, since: Date.now() });
      return () => names.forEach((name) => exit(name, connection));
    },
    typing: (who, channel) => tell(channel, { type: "typing", user: who }),
    direct: (data) => each((peer) => peer.send({ type: "direct", data, ts: Date.now() })),
    drop: (code = 1006, reason = "") => each((peer) => peer.close(code, reason)),
    drain: (within) => each((peer) => peer.send({ type: "reconnect", within })),
    lose(channel, reason = "lost by the test") {
      const at = room(channel);
      Object.assign(at, { epoch: `e${++serial}`, began: at.offset, history: [] });
      at.keys.clear();
      tell(channel, { type: "reset", ...place(at), began: at.began, reason, within: 1 });
    },
    refuse: (type, code, { times = 1, retryAfter } = {}) => void refusals.push({ type, code, times, retryAfter }),
    silence: () =>
      each((peer) => {
        peer.silent = true;
      }),
    subscribe: (channel) =>
      each((peer) => {
        const { start } = begin(peer, channel, {});
        peer.send({ type: "subscribed", channel, ...start });
      }),
    unsubscribe: (channel, reason = "by the back end") =>
      each((peer) => {
        if (!peer.subscribed.delete(channel)) return;
        exit(channel, peer.id);
        peer.send({ type: "unsubscribed", channel, reason });
      }),
    expire: ({ closed = false } = {}) =>
      each((peer) => (closed ? peer.close(4200, "token expired") : peer.send({ type: "expiring", expires: Date.now() / 1000 }))),
    become(next) {
      me = next;
    },
    async settle() {
      // An answer may lead to a command, and that to an answer.
      for (let quiet = 0; quiet < TURNS; quiet = under ? 0 : quiet + 1) await Promise.resolve();
    },
  };
  const client = createClient<C>({
    url: "http://test.invalid",
    token: user === null ? null : "test",
    WebSocket: TestSocket as never,
    transports: ["websocket"],
    ...options,
  });
  return { client, server };
};
