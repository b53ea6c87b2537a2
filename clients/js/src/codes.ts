/** What a close code asks of a client, by its range: stay away, come back, or come back with a new token. */
export type Verdict = "stay" | "wait" | "renew";

/** Those of the protocol's first range, and those of RFC 6455 after which the same would happen again. 1000: closed in order. */
const STAY = /^(40..|100[023789])$/;

const MOST_SECONDS = 60;

export const verdict = (code: number): Verdict =>
  STAY.test(`${code}`) ? "stay" : code >= 4200 && code < 4300 ? "renew" : "wait";

/** The least seconds to stay away: those in the reason of 4100, `retryAfter` of HTTP, else none. */
export const leastWait = (code: number, reason: string, retryAfter?: number): number => {
  const seconds = retryAfter ?? (code === 4100 ? Number.parseFloat(reason) : 0);
  return Math.min(Math.max(seconds, 0) || 0, MOST_SECONDS);
};
