import type { Attempt } from "./attempt.js";
import { releasing } from "./emitter.js";
import { aborted, type ErrorCode, OpenlineError } from "./errors.js";
import { createOutbox, type Draft } from "./outbox.js";
import { createTimers } from "./timers.js";
import type { Frame } from "./types.js";

interface Call extends Draft {
  command: Frame;
  heard: Request["heard"];
  settle(error: OpenlineError | null, ack?: Frame): void;
}

/** What a call to the server is about: its command, how long it may wait, in seconds, and what it is told when that is over. */
export interface Request {
  command: Frame;
  seconds: number;
  late: [ErrorCode, string];
  ordered?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Told of the ack in the receive path, before anything that follows it. */
  heard?: ((ack: Frame) => void) | undefined;
}

/**
 * Sends what has to be answered, over reconnects, in order and no faster than allowed.
 *
 * `line` is the one that stands, if any; `ready` says whether a channel takes commands now.
 */
export const createSender = (limit: number, line: () => Attempt | null, ready: (channel: string) => boolean) => {
  const outbox = createOutbox<Call>(limit);
  const { after, cancel } = createTimers();

  const answered = (call: Call, error: OpenlineError | null, ack: Frame): void => {
    if (!error) call.heard?.(ack);
    if (error?.code === "disconnected") outbox.hold(call, 0);
    else if (error?.temporary) outbox.hold(call, performance.now() + 1000 * (error.retryAfter ?? 1));
    else call.settle(error, ack);
    sender.pump();
  };
  const sender = {
    mutes: outbox.mutes,

    /** Let leave what may. To be called whenever that may have changed. */
    pump(): void {
      const now = performance.now();
      for (const call of outbox.expire(now)) call.settle(null);
      const attempt = line();
      let next = outbox.wake(now);
      if (attempt?.greeting && !attempt.signal.aborted) {
        for (const call of outbox.due(now, attempt.pace.room(now), ready)) {
          attempt.ask(call.command, (error, ack) => answered(call, error, ack));
        }
        if (outbox.size() && attempt.pace.wait()) next = Math.min(next, now + attempt.pace.wait());
      }
      if (next < Infinity) after("pump", Math.max(next - now, 1), sender.pump);
      else cancel("pump");
    },

    /** The answer, whenever it comes. */
    call({ command, seconds, late, ordered, signal, heard }: Request): Promise<Frame> {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(aborted());
        const call: Call = {
          channel: command.channel,
          mute: command.echo === false ? command.key : undefined,
          ordered,
          until: performance.now() + 1000 * seconds,
          command,
          heard,
          settle(error, ack) {
            outbox.remove(call);
            if (error || !ack) reject(error ?? new OpenlineError(...late, { temporary: true }));
            else resolve(ack);
            release();
          },
        };
        const release = releasing(() => outbox.has(call) && call.settle(aborted()), signal);
        if (outbox.add(call)) sender.pump();
        else call.settle(new OpenlineError("queue_full", `${limit} commands wait already`, { temporary: true }));
      });
    },

    /** Give up on all that waits. */
    clear(error: OpenlineError): void {
      for (const call of outbox.expire()) call.settle(error);
      cancel("pump");
    },
  };
  return sender;
};

export type Sender = ReturnType<typeof createSender>;
