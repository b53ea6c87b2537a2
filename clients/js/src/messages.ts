import { OpenlineError } from "./errors.js";
import { releasing } from "./emitter.js";
import type { Channel, Message, Until } from "./types.js";

/** What the messages of a channel are, one after another; see `Channel.messages`. */
export const iterate = <T>(
  channel: Pick<Channel<T>, "name" | "subscribe" | "on">,
  { buffer = 1000, overflow = "throw", signal }: Until & { buffer?: number; overflow?: "throw" | "oldest" } = {},
): AsyncIterableIterator<Message<T>> => {
  type Result = IteratorResult<Message<T>>;
  const waiting: Message<T>[] = [];
  const takers: { resolve(result: Result): void; reject(error: unknown): void }[] = [];
  let error: unknown;
  let over = false;

  const fail = (why: unknown): void => {
    error = why;
    stop();
  };
  /** Once; then comes the end. */
  const thrown = (reject: (error: unknown) => void): void => {
    reject(error);
    error = undefined;
  };
  const release = channel.subscribe((value) => {
    const taker = takers.shift();
    if (taker) return taker.resolve({ done: false, value });
    if (waiting.length >= buffer) {
      if (overflow === "throw") return fail(new OpenlineError("slow_reader", `more than ${buffer} messages of ${channel.name} wait`));
      waiting.shift();
    }
    waiting.push(value);
  });
  const releaseState = channel.on("state", ({ state, error: why }) => state === "failed" && fail(why));
  const stop = releasing(() => {
    over = true;
    release();
    releaseState();
    if (error && takers.length) thrown(takers.shift()!.reject);
    for (const { resolve } of takers.splice(0)) resolve({ done: true, value: undefined });
  }, signal);
  const finish = async (): Promise<Result> => {
    waiting.length = 0;
    stop();
    return { done: true, value: undefined };
  };
  return {
    next: () =>
      new Promise<Result>((resolve, reject) => {
        const value = waiting.shift();
        if (value) resolve({ done: false, value });
        else if (error) thrown(reject);
        else if (over) resolve({ done: true, value: undefined });
        else takers.push({ resolve, reject });
      }),
    return: finish,
    throw: finish,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
};
