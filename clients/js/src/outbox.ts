/** A command that waits until it is answered. */
export interface Draft {
  channel: string;
  /** Not to be heard again by this connection: the key of a publish with `echo: false`. */
  mute?: string | undefined;
  /** One under way at a time. */
  ordered?: boolean | undefined;
  /** When it stops waiting, in the milliseconds of `now`. */
  until: number;
}

const IN_FLIGHT = 20;

/** Commands that wait, in order within their channel. Times are milliseconds of any one clock. */
export const createOutbox = <D extends Draft>(limit = 500) => {
  const drafts = new Map<D, number>(); // from when each may leave; Infinity: it is under way
  const outbox = {
    has: (draft: D) => drafts.has(draft),
    size: () => drafts.size,

    /** Whether there is room for it. */
    add: (draft: D): boolean => drafts.size < limit && !!drafts.set(draft, 0),

    remove: (draft: D): void => void drafts.delete(draft),

    /** What may leave now, at most `most`; they count as under way. `ready`: whether its channel takes any. */
    due(now: number, most: number, ready: (channel: string) => boolean): D[] {
      const leaving: D[] = [];
      const flying = new Map<string, number>(); // by channel; Infinity: behind the first that has to wait, all wait
      const count = (channel: string) => flying.get(channel) ?? 0;
      for (const [{ channel }, from] of drafts) if (from === Infinity) flying.set(channel, count(channel) + 1);
      for (const [draft, from] of drafts) {
        const { channel, ordered } = draft;
        if (leaving.length >= most) break;
        if (from === Infinity) continue;
        const goes = from <= now && count(channel) < (ordered ? 1 : IN_FLIGHT) && ready(channel);
        flying.set(channel, goes ? count(channel) + 1 : Infinity);
        if (!goes) continue;
        drafts.set(draft, Infinity);
        leaving.push(draft);
      }
      return leaving;
    },

    /** Refused for now, or its line is gone: it waits until then, and with it all of its channel behind it. */
    hold: (draft: D, until: number): unknown => drafts.has(draft) && drafts.set(draft, until),

    /** Take out what has waited too long by `now`; all without it. */
    expire(now = Infinity): D[] {
      const over = [...drafts.keys()].filter((draft) => draft.until <= now);
      over.forEach(outbox.remove);
      return over;
    },

    /** The next moment at which time alone changes something. */
    wake(now: number): number {
      let next = Infinity;
      for (const [{ until }, from] of drafts) next = Math.min(next, until, from > now ? from : until);
      return next;
    },

    /** Whether a message is one of ours that must not be heard here. */
    mutes(key: string | undefined): boolean {
      for (const { mute } of drafts.keys()) if (key !== undefined && mute === key) return true;
      return false;
    },
  };
  return outbox;
};

/** A bucket of commands: `rate` a second in the long run, `burst` at once; 0 is no limit. */
export const createPace = (then: number, rate = 45, burst = 150) => {
  let left = burst;
  return {
    /** How many may leave now. */
    room(now: number): number {
      if (!rate || !burst) return Infinity;
      left = Math.min(burst, left + (Math.max(now - then, 0) * rate) / 1000);
      then = now;
      return Math.floor(left);
    },
    /** One has left, allowed or not. */
    spend: (): void => void (left -= 1),
    /** Milliseconds until one more may leave. */
    wait: (): number => (rate ? Math.max(0, Math.ceil(((1 - left) / rate) * 1000)) : 0),
  };
};
