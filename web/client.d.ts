// @openline/client 0.1.0, Apache-2.0. Built from clients/js by bundle.mjs: change those, then run `npm run bundle` there.
/// <reference lib="esnext.disposable" preserve="true" />

/** The protocol's codes, and those of this package. */
type ErrorCode = "bad_request" | "unauthorized" | "forbidden" | "unknown_namespace" | "not_found" | "not_subscribed" | "already_subscribed" | "rate_limited" | "too_large" | "limit_exceeded" | "invalid_data" | "conflict" | "unavailable" | "internal"
/** The line is gone, or there is none. */
 | "disconnected"
/** No answer in time. */
 | "timeout"
/** More publishes wait than `queue.limit`. */
 | "queue_full"
/** A publish waited longer than the server would know its key. */
 | "expired"
/** The server ended the connection for good; `close` is its code. */
 | "closed"
/** More messages waited in an iterator than its `buffer`. */
 | "slow_reader"
/** The signal of the call was aborted. */
 | "aborted";
/** What went wrong. `message` says what was wrong and what would be right. */
declare class OpenlineError extends Error {
    readonly code: ErrorCode;
    /** Whether the same may succeed later. */
    readonly temporary: boolean;
    /** Seconds to wait before. */
    readonly retryAfter?: number;
    /** The close code, when a connection ended with it. */
    readonly close?: number;
    constructor(code: ErrorCode, message: string, { cause, ...more }?: {
        temporary?: boolean;
        retryAfter?: number | undefined;
        close?: number;
        cause?: unknown;
    });
}
/** Thrown by a token provider: there is no token to be had, only a person can help. The client fails and stays away. */
declare class Unauthorized extends OpenlineError {
    constructor(message?: string, cause?: unknown);
}
/** The error that an `error` event says. */
declare const refusal: ({ code, message, temporary, retry_after: retryAfter, }: {
    code: ErrorCode;
    message: string;
    temporary?: boolean;
    retry_after?: number;
}) => OpenlineError;
declare const temporary: (code: ErrorCode, message: string, cause?: unknown) => OpenlineError;
declare const disconnected: (message?: string) => OpenlineError;
declare const aborted: () => OpenlineError;

/** What each channel carries, by exact name or pattern: `{ [room: `room:${string}`]: Chat; "notify:orders": Order }`. */
type Channels = {
    [name: string]: unknown;
};
/** The default: any channel may carry anything. */
type AnyChannels = {
    [name: string]: any;
};
/** Why a token is wanted: at first, because the server says that it ends soon, or because it has ended. */
type Ask = {
    reason: "first" | "renew" | "expired";
    signal: AbortSignal;
};
/**
 * A token, null for an anonymous session, or what gives one. Throw `Unauthorized` where only a person can help. What is
 * neither text nor null, or empty, is an error, not a session without a user.
 */
type TokenSource = string | null | ((ask: Ask) => string | null | Promise<string | null>);
/** `stream` is HTTP both ways, for networks that block WebSocket. */
type TransportName = "websocket" | "stream";
interface ClientOptions {
    /** The front door, http(s) or ws(s); the page's origin by default. */
    url?: string | URL;
    /** Never part of an address. Without it the cookie counts, or the session is anonymous. */
    token?: TokenSource;
    /** Which ways may be tried; both by default. */
    transports?: TransportName[];
    /** Loads the second way when it is needed; `import("@openline/client/fallback")` by default. */
    fallback?: () => Promise<{
        stream: Transport;
    }>;
    /** JSON by default, or `msgpack()` of `@openline/client/msgpack`. */
    codec?: Codec;
    /** Seconds: the longest first wait before an attempt, and the longest of all. 0.5 and 20. */
    backoff?: {
        base: number;
        cap: number;
    };
    /** Seconds of silence in a visible page until we ask for a sign of life: 10. 0 leaves it to the server. */
    probe?: number;
    /** Publishes that may wait: 500, for 240 seconds. The server knows keys for 300. */
    queue?: {
        limit: number;
        seconds: number;
    };
    /** Keeps positions over reloads: a `Map` or `sessionPositions()`. Memory by default. */
    positions?: PositionStore;
    /** What happens inside. It never sees a token or data. */
    log?: (level: "debug" | "warn", text: string, detail?: object) => void;
    /** For Node 20: `WebSocket` of the package `ws`. */
    WebSocket?: typeof WebSocket;
    fetch?: typeof fetch;
    /** Jitter; `Math.random` by default. */
    random?: () => number;
}
/**
 * `idle`: not connected and not trying. `moving`: online, a new line opens beside, since this node leaves.
 * `waiting`: until the next attempt. `failed`: stays away until `connect()`.
 */
type ConnectionState = "idle" | "connecting" | "online" | "moving" | "waiting" | "failed";
/** `failed`: stays so until somebody subscribes again. */
type ChannelState = "idle" | "joining" | "live" | "rejoining" | "failed";
/** `offset` publications of the history named `epoch` have been seen. */
type Position = {
    epoch: string;
    offset: number;
};
/** Where positions are kept, as a `Map` does. Called synchronously for each message. */
interface PositionStore {
    get(channel: string): Position | undefined;
    set(channel: string, position: Position): unknown;
    delete(channel: string): unknown;
}
/** What the server allows a connection. */
interface Limits {
    /** Commands a second in the long run, and at once; null: no limit. */
    commands?: number | null;
    burst?: number | null;
    /** Subscriptions. */
    channels?: number;
    message_bytes?: number;
}
/** The greeting of a connection. */
interface Connected {
    /** The connection's id. */
    connection: string;
    /** Who the token says you are; null when anonymous. */
    user: string | null;
    node: string;
    /** Seconds since 1970, null without end. */
    expires: number | null;
    /** Seconds of silence after which the server asks for a sign of life. */
    ping: number;
    /** Subscribed by the server. */
    channels: {
        [channel: string]: Start;
    };
    limits?: Limits;
    version?: string;
    transport: TransportName;
}
/** Where a subscription begins; `recovered: false` says that messages are missing, `began` where the new epoch began. */
interface Start extends Position {
    recovered?: boolean;
    began?: number;
    count?: number;
}
/** Ends a subscription, a listener or a wait. Calling it twice does no harm. */
type Release = (() => void) & {
    [Symbol.dispose](): void;
};
/** Aborting the signal releases, or rejects with `aborted`. */
type Until = {
    signal?: AbortSignal | undefined;
};
/** A publication. */
interface Message<T = unknown> {
    channel: string;
    data: T;
    /** `base64` when `data` is bytes; over JSON only. */
    encoding?: "base64";
    /** Absent when ephemeral. */
    offset?: number;
    /** The publisher; absent for HTTP publishes, null when anonymous. */
    from?: string | null;
    /** Milliseconds since 1970. */
    ts: number;
    key?: string;
    tags?: {
        [name: string]: string;
    };
    /** What it is the newest of. */
    conflate_key?: string;
    /** So many publications were left out just before this one, as the namespace wants for slow readers. */
    skipped?: number;
    /** Sent while we were away, and delivered now. */
    recovered: boolean;
}
/** A publication in a history. */
type Stored<T = unknown> = Omit<Message<T>, "channel" | "recovered" | "skipped"> & {
    offset: number;
};
/** Where a publish came to stand; without both when ephemeral. */
interface Published {
    epoch?: string;
    offset?: number;
    /** It had been published before with the same key. */
    duplicate?: boolean;
}
/** A page of a history, and its head. */
interface History<T = unknown> extends Position {
    messages: Stored<T>[];
    more: boolean;
}
/** One connection in a channel. */
interface Member {
    user: string | null;
    connection: string;
    /** The token's claim `info`. */
    info?: unknown;
    /** When it came, in milliseconds since 1970; unknown of those that came while we were there. */
    since?: number;
}
interface PresencePage {
    members: Member[];
    /** Connections. */
    count: number;
    users: number;
    /** Asks for the next page; null at the end. */
    cursor: string | null;
}
/** Who is in a channel. In large rooms `members` is what the last page of presence said, `count` and `users` are right. */
interface Members {
    state: "idle" | "loading" | "ready" | "failed";
    members: readonly Member[];
    count: number;
    users: number;
}
/** A value that changes, as React and signals want it: the snapshot is the same object until it changes. */
interface Store<V> {
    subscribe(changed: () => void): Release;
    getSnapshot(): V;
}
/** Messages are missing: fetch the state anew after `wait` milliseconds, which spreads a crowd. */
interface Lost {
    channel: string;
    /** The offset above which what was received before is void; history after it is exact. */
    began: number;
    /** `gap` is a fault of the server, everything else is for people. */
    reason: string;
    wait: number;
}
interface PresenceEvent {
    channel: string;
    user: string | null;
    connection: string;
    /** The token's claim `info`; of `join` only. */
    info?: unknown;
    count: number;
    users: number;
    /** Of `join`: the user's first connection here. */
    first?: boolean;
    /** Of `leave`: the user's last connection here. */
    last?: boolean;
}
interface ClientEvents {
    /** `wait`: milliseconds until the next attempt, when `waiting`. `error`: why, when `failed` or `waiting`. */
    state: {
        state: ConnectionState;
        error: OpenlineError | null;
        wait?: number | undefined;
    };
    /** Sent by the back end to this connection; best effort. */
    direct: {
        data: unknown;
        encoding?: "base64";
        ts: number;
    };
    /** What went wrong and belongs to no call: a token provider that threw, a frame that the server refused. */
    error: OpenlineError;
}
interface ChannelEvents<T = unknown> {
    state: {
        state: ChannelState;
        error: OpenlineError | null;
    };
    lost: Lost;
    /** Everything that was missed has come: so many messages. */
    recovered: {
        channel: string;
        count: number;
    };
    join: PresenceEvent;
    leave: PresenceEvent;
    /** In place of join and leave in large rooms. */
    count: {
        channel: string;
        count: number;
        users: number;
    };
    typing: {
        channel: string;
        user: string | null;
    };
    /** A message that the schema refused. */
    invalid: {
        message: Message<unknown>;
        issues: readonly Issue[];
        expected?: T;
    };
}
interface Client<C extends Channels = AnyChannels> {
    readonly state: ConnectionState;
    /** The greeting of the connection that stands, or null. */
    readonly connection: Connected | null;
    /** Milliseconds that the last ping took. */
    readonly latency: number | undefined;
    /** Connect, and stay connected. Does nothing when that is so already. */
    connect(): void;
    /** Final until `connect()`. What waits is rejected with `disconnected`; the token is forgotten. */
    close(): void;
    /** Leave this line for a new one at once, with what is missed recovered. */
    reconnect(): void;
    /** The same object for the same name; other options for a name that is in use warn and change nothing. */
    channel<N extends keyof C & string, T extends C[N]>(name: N, options: ChannelOptions<T> & {
        schema: StandardSchema<unknown, T>;
    }): Channel<T>;
    channel<N extends keyof C & string>(name: N, options?: ChannelOptions<C[N]>): Channel<C[N]>;
    on<E extends keyof ClientEvents>(event: E, listener: (e: ClientEvents[E]) => void, o?: Until): Release;
    /** Resolves when the client is online; rejects when it has failed or is closed. */
    online(o?: Until): Promise<Connected>;
    /** Milliseconds that a question to the server and its answer took; rejects with `disconnected`. */
    ping(): Promise<number>;
    [Symbol.dispose](): void;
}
interface ChannelOptions<T = unknown> {
    /** Begin with so many of the newest messages: 0 to 1,000. */
    last?: number;
    /** Begin after this position. */
    since?: Position;
    /** Any Standard Schema v1 validator that is synchronous. What fails goes to `invalid`, and `publish` throws. */
    schema?: StandardSchema<unknown, T>;
    /** One publish under way at a time: their order holds over rate limits too. */
    ordered?: boolean;
}
interface Channel<T = unknown> {
    readonly name: string;
    readonly state: ChannelState;
    /** Where we are, or null before the first answer. */
    readonly position: Position | null;
    /** Why the subscription failed, or null. */
    readonly error: OpenlineError | null;
    /** Counted: the first subscribes, the last release leaves, 1.5 seconds later. */
    subscribe(listener: (m: Message<T>) => void, o?: Until): Release;
    /** Messages to iterate over. Of `buffer` (1,000) not yet taken, one more throws `slow_reader` or pushes the oldest out. */
    messages(o?: Until & {
        buffer?: number;
        overflow?: "throw" | "oldest";
    }): AsyncIterableIterator<Message<T>>;
    /** Does not subscribe. Ends with the last release of `subscribe` as well. */
    on<E extends keyof ChannelEvents<T>>(event: E, listener: (e: ChannelEvents<T>[E]) => void, o?: Until): Release;
    /**
     * Publish once, in order, over reconnects: resolves when stored.
     *
     * `echo: false`: not to this connection. `ephemeral`: now or never, without history.
     * Rejects with the server's error, `queue_full`, `expired`, `disconnected`, `aborted`; `invalid_data` by the schema.
     */
    publish(data: T, o?: Until & {
        key?: string;
        conflate_key?: string;
        echo?: boolean;
        ephemeral?: boolean;
    }): Promise<Published>;
    /** At most `limit` (100, up to 500) messages after `since`, or before it and newest first with `reverse`. */
    history(o?: {
        since?: Position;
        limit?: number;
        reverse?: boolean;
    }): Promise<History<T>>;
    presence(o?: {
        cursor?: string;
    }): Promise<PresencePage>;
    /** Who is here, kept up to date while somebody listens to it; listening subscribes. */
    readonly members: Store<Members>;
    /** Tell the others; they see it at most once a second. */
    typing(): void;
}
interface Issue {
    readonly message: string;
    readonly path?: ReadonlyArray<PropertyKey | {
        readonly key: PropertyKey;
    }> | undefined;
}
type Validation<T> = {
    readonly value: T;
    readonly issues?: undefined;
} | {
    readonly issues: readonly Issue[];
};
interface StandardSchema<Input = unknown, Output = Input> {
    readonly "~standard": {
        readonly version: 1;
        readonly vendor: string;
        readonly validate: (value: unknown) => Validation<Output> | Promise<Validation<Output>>;
        readonly types?: {
            readonly input: Input;
            readonly output: Output;
        } | undefined;
    };
}
/** A command or an event of the protocol: an object with a `type`, which the other fields depend on. */
type Frame = {
    type: string;
    [field: string]: any;
};
/** How frames are written on a WebSocket. */
interface Codec {
    /** What is offered in the handshake, such as `openline.msgpack.v1`. */
    readonly subprotocol: string;
    readonly binary: boolean;
    encode(frame: Frame): string | Uint8Array<ArrayBuffer>;
    /** Throws on what is no frame. `ArrayBuffer` when binary. */
    decode(data: string | ArrayBuffer): Frame;
}
/** Where a line goes and what it may use. */
interface Dial {
    /** The front door without a trailing slash, `http:` or `https:`. */
    url: string;
    codec: Codec;
    WebSocket?: typeof WebSocket | undefined;
    fetch?: typeof fetch | undefined;
}
/** What a line tells. All of it later than the call that opens it, never from inside. */
interface LineEvents {
    /** Commands may be sent. Those sent from inside this call leave together. */
    open(): void;
    event(frame: Frame): void;
    /**
     * Once, unless we closed it; nothing follows. A WebSocket close code; over HTTP 401 and 403 are 4001, 429 and 503 are
     * 4104, no answer and the rest 1006. `retryAfter`: seconds.
     */
    closed(code: number, reason: string, retryAfter?: number): void;
}
/** One connection. */
interface Line {
    /** In order; what cannot be sent any more is dropped, since `closed` follows. */
    send(command: Frame): void;
    /** Nothing is told afterwards. */
    close(code: number, reason?: string): void;
}
/** Opens a line. Throws where the environment cannot. */
type Transport = (dial: Dial, on: LineEvents) => Line;

/** A client. It does nothing until `connect()`, so it may be made on a server too. */
declare const createClient: <C extends Channels = AnyChannels>(options?: ClientOptions) => Client<C>;

/** What a message is at its place: the one that is due, seen before, or beyond one that never came. */
type Order = "next" | "old" | "gap";
/** Where we are in each channel. It moves in the receive path alone, and never back within an epoch. */
declare const createPositions: (store?: PositionStore) => {
    get: (channel: string) => Position | undefined;
    forget(channel: string): void;
    /** Forget all that this client has put there. */
    clear: () => void;
    /** A subscription stands from `start` on. Whether continuity is lost: the server said so, or said nothing where we had a place. */
    begin(channel: string, start: Start): boolean;
    /** Continuity is lost, and goes on from here. */
    reset: (channel: string, { epoch, offset }: Position) => void;
    /** A message came; the position moves. Ephemeral ones have no offset and no place. */
    take(channel: string, offset: number | undefined, skipped?: number): Order;
    /** The ack of a publish with `echo: false` stands where its message would: the position moves when that is the next place. */
    echo(channel: string, { epoch, offset }: Partial<Position>): void;
};
type Positions = ReturnType<typeof createPositions>;
/**
 * Positions that outlive a reload of the page, in sessionStorage; in memory where that is not to be had.
 *
 * Give each user another `name`: positions of one are no use to another.
 */
declare const sessionPositions: (name?: string) => PositionStore;

export { OpenlineError, Unauthorized, createClient, sessionPositions };
export type { AnyChannels, Ask, Channel, ChannelEvents, ChannelOptions, ChannelState, Channels, Client, ClientEvents, ClientOptions, Codec, Connected, ConnectionState, Dial, Frame, History, Issue, Limits, Line, LineEvents, Lost, Member, Members, Message, Position, PositionStore, PresenceEvent, PresencePage, Published, Release, StandardSchema, Start, Store, Stored, TokenSource, Transport, TransportName, Until };
