import type { Attempt } from "./attempt.js";
import { releasing } from "./emitter.js";
import { aborted, type ErrorCode, type OpenlineError, temporary } from "./errors.js";
import { createOutbox, type Draft } from "./outbox.js";
import type { Frame } from "./types.js";

interface Call extends Draft {
  leave(line: Attempt): void;
  settle(error?: OpenlineError | null, ack?: Frame): void;
}

/** How a call may differ. */
export interface Manner {
  /** One under way at a time in its channel. */
  ordered?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Told of the ack in the receive path, before anything that follows it. */
  heard?: (ack: Frame) => unknown;
}

/**
 * Sends what has to be answered, over reconnects, in order and no faster than allowed.
 *
 * `line` is the one that stands, if any; `ready` says whether a channel takes commands now.
 */
export const createSender = (limit: number, line: () => Attempt | null, ready: (channel: string) => boolean) => {
  const outbox = createOutbox<Call>(limit);
  let timer: ReturnType<typeof setTimeout> | undefined;

  const sender = {
    mutes: outbox.mutes,

    /** Let leave what may. To be called whenever that may have changed. */
    pump(): void {
      const now = performance.now();
      for (const call of outbox.expire(now)) call.settle();
      const attempt = line();
      let next = outbox.wake(now);
      if (attempt && !attempt.signal.aborted) {
        for (const call of outbox.due(now, attempt.pace.room(now), ready)) call.leave(attempt);
        if (outbox.size()) next = Math.min(next, now + (attempt.pace.wait() || Infinity));
      }
      clearTimeout(timer);
      if (next < Infinity) timer = setTimeout(sender.pump, Math.max(next - now, 1));
    },

    /** The answer, whenever it comes; after so many seconds without, an error of that code and text. */
    call(command: Frame, seconds: number, late: [ErrorCode, string], { ordered, signal, heard }: Manner = {}): Promise<Frame> {
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(aborted());
        const call: Call = {
          channel: command.channel,
          mute: command.echo === false ? command.key : undefined,
          ordered,
          until: performance.now() + 1000 * seconds,
          leave(line) {
            try {
              line.ask(command, (error, ack) => {
                if (!error) heard?.(ack);
                if (error?.temporary) {
                  outbox.hold(call, error.code === "disconnected" ? 0 : performance.now() + 1000 * (error.retryAfter ?? 1));
                } else call.settle(error, ack);
                sender.pump();
              });
            } catch (error) {
              call.settle(error as OpenlineError); // its data cannot be encoded
              queueMicrotask(sender.pump); // what waits behind it goes on, after what leaves with it
            }
          },
          settle(error, ack) {
            outbox.remove(call);
            if (error || !ack) reject(error ?? temporary(...late));
            else resolve(ack);
            release();
          },
        };
        const release = releasing(() => outbox.has(call) && call.settle(aborted()), signal);
        if (outbox.add(call)) sender.pump();
        else call.settle(temporary("queue_full", `${limit} commands wait already`));
      });
    },

    /** Give up on all that waits. */
    clear(error: OpenlineError): void {
      for (const call of outbox.expire()) call.settle(error);
      clearTimeout(timer);
    },
  };
  return sender;
};

export type Sender = ReturnType<typeof createSender>;
