import { OpenlineError } from "./errors.js";
import { releasing } from "./emitter.js";
import type { Channel, Message, Until } from "./types.js";

/** What the messages of a channel are, one after another; see `Channel.messages`. */
export const iterate = <T>(
  channel: Pick<Channel<T>, "name" | "subscribe" | "on">,
  { buffer = 1000, overflow = "throw", signal }: Until & { buffer?: number; overflow?: "throw" | "oldest" } = {},
): AsyncIterableIterator<Message<T>> => {
  type Result = IteratorResult<Message<T>>;
  const end: Result = { done: true, value: undefined };
  const waiting: Message<T>[] = [];
  const takers: [resolve: (result: Result) => void, reject: (error: unknown) => void][] = [];
  let error: unknown; // thrown once; then comes the end
  let over = false;

  const settle = (): void => {
    while (takers.length && (waiting.length || over)) {
      const [resolve, reject] = takers.shift()!;
      if (waiting.length) resolve({ done: false, value: waiting.shift()! });
      else if (error) {
        reject(error);
        error = undefined;
      } else resolve(end);
    }
  };
  const fail = (why: unknown): void => {
    error = why;
    stop();
  };
  const releases = [
    channel.subscribe((value) => {
      waiting.push(value);
      settle();
      if (waiting.length <= buffer) return;
      if (overflow === "oldest") waiting.shift();
      else {
        waiting.pop();
        fail(new OpenlineError("slow_reader", `more than ${buffer} messages of ${channel.name} wait`));
      }
    }),
    channel.on("state", ({ state, error: why }) => state === "failed" && fail(why)),
  ];
  const stop = releasing(() => {
    over = true;
    for (const release of releases) release();
    settle();
  }, signal);
  const finish = async (): Promise<Result> => {
    waiting.length = 0;
    stop();
    return end;
  };
  return {
    next: () =>
      new Promise((resolve, reject) => {
        takers.push([resolve, reject]);
        settle();
      }),
    return: finish,
    throw: finish,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
};
