import { disconnected, type OpenlineError, refusal } from "./errors.js";
import { createHeartbeat } from "./heartbeat.js";
import { createPace } from "./outbox.js";
import { createTimers } from "./timers.js";
import type { Token } from "./tokens.js";
import type { Connected, Dial, Frame, Line, Transport, TransportName } from "./types.js";

/** For token, open and greeting together; for the greeting of an open line. Milliseconds. */
const OPENING = 10_000;
const GREETING = 5_000;

/** How to connect, and as whom. */
export type Way = { transport: Transport; name: TransportName; token: Token };

/** What an attempt asks of its client, and tells it. */
export interface Hooks {
  /** Finds the token and the way. What it throws ends the attempt. */
  prepare(attempt: Attempt): Promise<Way>;
  /** The line is open: what is sent now leaves together. */
  open(attempt: Attempt): void;
  /** An event that is no answer and no heartbeat; synchronously, in wire order. */
  event(attempt: Attempt, event: Frame): void;
  /** Over, unless we ended it. `cause`: what `prepare` threw. */
  ended(attempt: Attempt, code: number, reason: string, retryAfter?: number, cause?: unknown): void;
  /** Milliseconds of silence until we ask. */
  quiet(attempt: Attempt, waiting: boolean): number;
}

/** One attempt at a connection. It owns its line, timers, unanswered commands and abort signal, and ends all of them with itself. */
export const createAttempt = (dial: Dial, hooks: Hooks) => {
  const controller = new AbortController();
  const { after, cancel, clear } = createTimers();
  const asks = new Map<number, (error: OpenlineError | null, ack: Frame) => void>();
  const beat = createHeartbeat();
  let line: Line | undefined;
  let last = 0;
  const over = () => controller.signal.aborted;
  const look = (ms: number) => after("look", ms, wake);

  const attempt = {
    signal: controller.signal,
    after,
    pace: createPace(performance.now()),
    token: null as Token,
    transport: "websocket" as TransportName,
    /** Whether a frame came. */
    heard: false,
    greeting: null as Connected | null,
    /** Channels that were asked for on this line, and those whose subscription stands. */
    asked: new Set<string>(),
    live: new Set<string>(),

    send(command: Frame): void {
      attempt.pace.spend();
      line?.send(command);
    },

    /** Send a command; `done` is called synchronously with its answer, or with `disconnected` when the attempt ends first. */
    ask(command: Frame, done: (error: OpenlineError | null, ack: Frame) => void = () => {}): void {
      attempt.send({ ...command, id: ++last }); // throws when the data cannot be encoded: then nobody waits for an answer
      asks.set(last, done);
      if (attempt.greeting) look(beat.hasten(performance.now(), hooks.quiet(attempt, true)));
    },

    /** In doubt: ask for a sign of life, and give so many milliseconds for it. */
    probe(patience?: number): void {
      attempt.send({ type: "ping" });
      look(beat.ask(performance.now(), patience));
    },

    /** End it. Nothing is told afterwards but to those who wait for an answer. */
    end(code: number, reason?: string): void {
      if (over()) return;
      controller.abort();
      clear();
      line?.close(code, reason);
      const gone = disconnected();
      for (const done of asks.values()) done(gone, gone as never);
    },
  };

  function fail(code: number, reason: string, retryAfter?: number, cause?: unknown): void {
    if (over()) return;
    attempt.end(4000, reason);
    hooks.ended(attempt, code, reason, retryAfter, cause);
  }

  function wake(): void {
    const { act, ms } = beat.wake(performance.now());
    if (act === "dead") return fail(1006, "no sign of life");
    if (act === "ask") attempt.send({ type: "ping" });
    look(ms);
  }

  function receive(event: Frame): void {
    if (over()) return;
    attempt.heard = true;
    beat.heard(performance.now(), hooks.quiet(attempt, asks.size > 0));
    const { type, id } = event;
    if (type === "connected") cancel("opening");
    const done = asks.get(id);
    if (type === "ping") attempt.send({ type: "pong" });
    else if (done && /^(ack|pong|error)$/.test(type)) {
      asks.delete(id);
      done(type === "error" ? refusal(event as never) : null, event);
    } else {
      hooks.event(attempt, event);
      if (type === "connected" && !over()) wake();
    }
  }

  const run = ({ transport, name, token }: Way): void => {
    if (over()) return;
    attempt.transport = name;
    attempt.token = token;
    line = transport(dial, {
      open() {
        if (over()) return;
        after("look", GREETING, () => fail(1006, "no greeting")); // the first look, after the greeting, takes its place
        hooks.open(attempt);
      },
      event: receive,
      closed: fail,
    });
  };
  after("opening", OPENING, () => fail(1006, "no answer"));
  hooks
    .prepare(attempt)
    .then(run)
    .catch((cause) => fail(1006, "not connected", 0, cause));
  return attempt;
};

/** The answer to a command on a line, if there is one. */
export const request = (line: Attempt | null, command: Frame): Promise<Frame> =>
  new Promise((resolve, reject) => {
    if (line) line.ask(command, (refused, ack) => (refused ? reject(refused) : resolve(ack)));
    else reject(disconnected());
  });

export type Attempt = ReturnType<typeof createAttempt>;
