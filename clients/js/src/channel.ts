import { type Attempt, request } from "./attempt.js";
import { createEmitter, releasing } from "./emitter.js";
import { OpenlineError } from "./errors.js";
import { createMembers } from "./members.js";
import { iterate } from "./messages.js";
import type { Positions } from "./positions.js";
import type { Sender } from "./sender.js";
import type {
  Channel,
  ChannelEvents,
  ChannelOptions,
  ChannelState,
  History,
  Frame,
  Message,
  Position,
  PresencePage,
  Published,
  Start,
} from "./types.js";

/** After the last release, in milliseconds: who is back by then has never been away. */
const LINGER = 1_500;
const READ_SECONDS = 10;
const LAST_AT_MOST = 500;

/** What a channel needs of its client. */
export interface Core {
  positions: Positions;
  random: () => number;
  /** How long a publish may wait, in seconds. */
  seconds: number;
  /** The lines that are open: the present one, and the one that we move to. */
  lines(): Attempt[];
  /** Channels that the server subscribes, as far as is known. */
  hosted(): Set<string>;
  /** Whether a message is one of ours that must not be heard here. */
  mutes(key: string | undefined): boolean;
  call: Sender["call"];
  /** Something may leave now. */
  pump(): void;
  /** Take this channel's place among the client's; the channel that has it already, if that is another. */
  enter(name: string, room: Room): Room;
  forget(name: string, room: Room): void;
}

/** More than 128 random bits, as 22 to 50 digits. */
export const key = (): string => crypto.getRandomValues(new Uint32Array(5)).join("");

/** A channel of a client: what applications see as `channel`, and what its connections tell it. */
export const createRoom = (core: Core, name: string, options: ChannelOptions) => {
  const { positions, random } = core;
  const events = createEmitter<ChannelEvents & { message: Message }>();
  let linger: ReturnType<typeof setTimeout> | undefined;
  let state: ChannelState = "idle";
  let error: OpenlineError | null = null;
  let begun = false; // whether `last` has been seen to
  let warned = false;
  let replay: { count: number } | undefined; // while missed messages come in
  let hold: Message[] | undefined; // what comes while older messages are under way, with `last`
  let holdFrom: Position | undefined;

  /** Whether a line is the one that we moved from: what it says of subscriptions, the next one says anew. */
  const left = (line: Attempt): boolean => !core.lines().includes(line);

  /** Whether somebody has subscribed, and not released for good. */
  const wanted = (): boolean => state !== "idle";
  /** Whether commands should wait until the subscription stands, on the line that they would leave by. */
  const joining = (): boolean => state.endsWith("joining") || (state === "live" && !core.lines()[0]?.live.has(name));

  const become = (next: ChannelState, why: OpenlineError | null = null): void => {
    if (state === next && error === why) return;
    state = next;
    error = why;
    events.emit("state", { state, error });
  };

  const lose = (began: number, reason: string, within: number): void => {
    const heard = events.emit("lost", { channel: name, began, reason, wait: 1000 * within * random() });
    if (heard || warned || !wanted()) return;
    warned = true;
    console.warn(`openline: messages of ${name} are lost (${reason}); fetch its state anew in on("lost")`);
  };

  const check = (data: unknown) => {
    const result = options.schema?.["~standard"].validate(data);
    if (result instanceof Promise) throw new TypeError(`${name}: the schema must validate synchronously, or order would break`);
    return result;
  };

  const deliver = (message: Message): void => {
    const result = check(message.data);
    if (result?.issues) events.emit("invalid", { message, issues: result.issues });
    else events.emit("message", result ? { ...message, data: result.value } : message);
  };

  const flush = (): void => {
    const held = hold;
    hold = undefined;
    held?.forEach(deliver);
  };

  /** Older messages of a channel that the server subscribes: they come before what has come meanwhile. */
  const fetchLast = (line: Attempt): void => {
    if (!hold) holdFrom = positions.get(name);
    hold ??= [];
    const limit = Math.min(options.last!, LAST_AT_MOST);
    const since = holdFrom && { epoch: holdFrom.epoch, offset: holdFrom.offset + 1 }; // before which they lie
    line.ask({ type: "history", channel: name, limit, since, reverse: true }, (refused, { messages }) => {
      if (refused?.code === "disconnected" || left(line)) return; // asked for again on the next line
      if (!refused) for (const stored of messages.reverse()) deliver({ channel: name, recovered: false, ...stored });
      flush();
    });
  };

  const fail = (why: OpenlineError): void => {
    flush();
    replay = undefined;
    become("failed", why);
    core.pump();
  };

  const leave = (): void => {
    const hosted = core.hosted().has(name);
    for (const line of core.lines()) {
      if (line.asked.delete(name) && !hosted) line.ask({ type: "unsubscribe", channel: name });
      line.live.delete(name);
    }
    if (!hosted) positions.forget(name);
    clearTimeout(linger);
    core.forget(name, room);
    become("idle");
    events.clear();
    replay = hold = undefined;
    begun = warned = false;
  };

  /** Ask for it on a line, once. */
  function join(line: Attempt): void {
    if (!wanted() || state === "failed" || line.asked.has(name)) return;
    line.asked.add(name);
    if (core.hosted().has(name)) return host(line);
    const since = positions.get(name) ?? options.since;
    const from = since ? { since } : options.last ? { last: options.last } : {};
    line.ask({ type: "subscribe", channel: name, ...from }, (refused, ack) => {
      if (!line.asked.has(name) || !wanted() || left(line)) return; // released meanwhile, and told so
      if (!refused) return stand(line, ack as never);
      if (refused.code === "already_subscribed") return host(line);
      if (refused.code === "disconnected") return;
      if (!refused.temporary) return fail(refused);
      become(state, refused);
      line.after(`join ${name}`, 1000 * (refused.retryAfter ?? 1) * (1 + random()), () => {
        line.asked.delete(name);
        join(line);
      });
    });
  }

  /** It stands, and goes on from `start`. Synchronous: messages may follow in the same read. */
  function stand(line: Attempt, start: Start): void {
    const lost = positions.begin(name, start);
    if (start.recovered) {
      const mine = (replay = { count: 0 });
      // What was missed comes before the answer to this.
      line.ask({ type: "ping" }, (gone) => {
        if (replay !== mine) return;
        replay = undefined;
        if (!gone) events.emit("recovered", { channel: name, count: mine.count });
      });
    }
    if (wanted()) host(line);
    if (lost) lose(start.began ?? start.offset, "the server no longer has all that was missed", 1);
  }

  /** It stands, by us or by the server. */
  function host(line: Attempt): void {
    if (line.live.has(name)) return;
    line.asked.add(name);
    line.live.add(name);
    if (hold || (options.last && !begun && core.hosted().has(name))) fetchLast(line);
    begun = true;
    become("live");
    core.pump();
  }

  /** The line is gone, or the session with it: it is asked for again. */
  const interrupt = (): void => {
    replay = undefined;
    if (state === "live") become("rejoining");
  };

  const room = {
    options,
    joining,

    join,

    /** An event of this channel that came on a line of ours. */
    receive(line: Attempt, { type, ...event }: Frame): void {
      if (type === "message") {
        const order = positions.take(name, event.offset, event.skipped);
        if (order === "old") return;
        // The server promises that this cannot be; were it so, silence would be the worst answer.
        if (order === "gap") lose(event.offset - 1, "gap", 1);
        if (core.mutes(event.key)) return;
        if (replay && event.offset !== undefined) replay.count++;
        event.recovered = !!replay;
        const message = event as Message;
        if (hold) hold.push(message);
        else deliver(message);
      } else if (type === "reset") {
        positions.reset(name, event as never);
        lose(event.began, event.reason, event.within);
      } else if (type === "subscribed") {
        stand(line, event as never);
      } else if (type === "unsubscribed") {
        positions.forget(name);
        line.live.delete(name);
        if (wanted()) fail(new OpenlineError("forbidden", event.reason));
      } else events.emit(type as "typing", event as never);
    },

    interrupt,

    /** The user is another one: nothing of before counts. */
    renew(): void {
      hold = replay = undefined;
      begun = false;
      if (wanted()) become("joining");
      members.reset();
    },

    /** The client ends: who has been released is forgotten at once. */
    close(): void {
      if (events.size("message")) interrupt();
      else leave();
    },

    subscribe(listener: (m: Message) => void, signal?: AbortSignal) {
      const release = events.on("message", listener);
      clearTimeout(linger);
      if (!wanted() || state === "failed") {
        become("joining");
        for (const line of core.lines()) {
          line.asked.delete(name);
          if (line.greeting) join(line);
        }
      }
      return releasing(() => {
        release();
        if (!events.size("message")) linger = setTimeout(leave, LINGER);
      }, signal);
    },
    on: events.on,
    channel: undefined as never as Channel,
  };

  /** The line for what is sent now or never. */
  const ready = (): Attempt | null => {
    const [line] = core.lines();
    return line?.greeting && !joining() ? line : null;
  };
  const read = <T>(type: string, fields?: object): Promise<T> =>
    core.call({ type, channel: name, ...fields }, READ_SECONDS, ["timeout", `no answer to ${type} within ${READ_SECONDS} s`]) as Promise<T>;

  const facade: Omit<Channel, "members"> = {
    name,
    get state() {
      return state;
    },
    get position() {
      return positions.get(name) ?? null;
    },
    get error() {
      return error;
    },
    subscribe: (listener, o) => core.enter(name, room).subscribe(listener, o?.signal),
    on: (event, listener, o) => core.enter(name, room).on(event, listener, o?.signal),
    messages: (o) => iterate(facade, o),
    async publish(data, { signal, key: own, conflate_key, ephemeral, echo } = {}): Promise<Published> {
      const issues = check(data)?.issues;
      if (issues) throw new OpenlineError("invalid_data", `the data does not fit the schema: ${issues[0]?.message}`, { cause: issues });
      const command = { type: "publish", channel: name, data, conflate_key, ...(echo === false && { echo }) };
      if (ephemeral) return request(ready(), { ...command, ephemeral }) as Promise<Published>;
      return core.call(
        { ...command, key: own ?? key() },
        core.seconds,
        ["expired", `not published within ${core.seconds} s: whether it was stored is not known`],
        { ordered: options.ordered, signal, heard: (ack) => echo === false && positions.echo(name, ack as Partial<Position>) },
      ) as Promise<Published>;
    },
    history: (o) => read<History>("history", o),
    presence: (o) => read<PresencePage>("presence", o),
    typing: () => ready()?.send({ type: "typing", channel: name }),
  };
  const members = createMembers(facade);
  room.channel = Object.assign(facade, { members }) as Channel;
  return room;
};

export type Room = ReturnType<typeof createRoom>;
