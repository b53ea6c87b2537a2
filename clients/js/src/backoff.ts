/** Seconds: the longest first wait, and the longest of all. */
export type Backoff = { base: number; cap: number };

/** Seconds to wait before the next attempt: exponential with full jitter, so that a crowd does not come back as one. */
export const backoff = (failures: number, least: number, { base, cap }: Backoff, random: () => number): number =>
  least + random() * Math.min(cap, base * 2 ** failures);
