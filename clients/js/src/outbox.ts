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

type Lane = { drafts: number; flying: number; held: number };

/** Commands that wait, in order within their channel. Times are milliseconds of any one clock. */
export const createOutbox = <D extends Draft>(limit = 500) => {
  const drafts = new Map<D, boolean>(); // whether it is under way
  const lanes = new Map<string, Lane>();

  const lane = (channel: string): Lane => {
    let found = lanes.get(channel);
    if (!found) lanes.set(channel, (found = { drafts: 0, flying: 0, held: 0 }));
    return found;
  };
  const fly = (draft: D, flying: boolean): void => {
    if (drafts.get(draft) !== flying) lane(draft.channel).flying += flying ? 1 : -1;
    drafts.set(draft, flying);
  };
  const outbox = {
    has: (draft: D) => drafts.has(draft),
    size: () => drafts.size,

    /** Whether there is room for it. */
    add(draft: D): boolean {
      if (drafts.size >= limit) return false;
      drafts.set(draft, false);
      lane(draft.channel).drafts += 1;
      return true;
    },

    remove(draft: D): void {
      if (!drafts.has(draft)) return;
      fly(draft, false);
      drafts.delete(draft);
      if (!--lane(draft.channel).drafts) lanes.delete(draft.channel);
    },

    /** What may leave now, at most `most`; they count as under way. `ready`: whether its channel takes any. */
    due(now: number, most: number, ready: (channel: string) => boolean): D[] {
      const leaving: D[] = [];
      const full = new Set<string>(); // behind the first that has to wait, all of its channel wait
      for (const [draft, flying] of drafts) {
        if (leaving.length >= most) break;
        const { channel, ordered } = draft;
        if (flying || full.has(channel)) continue;
        const at = lane(channel);
        if (at.held > now || at.flying >= (ordered ? 1 : IN_FLIGHT) || !ready(channel)) full.add(channel);
        else {
          fly(draft, true);
          leaving.push(draft);
        }
      }
      return leaving;
    },

    /** Refused for now, or its line is gone: its channel waits until then, and goes on from this one. */
    hold(draft: D, until: number): void {
      if (!drafts.has(draft)) return;
      fly(draft, false);
      lane(draft.channel).held = until;
    },

    /** Take out what has waited too long by `now`; all without it. */
    expire(now = Infinity): D[] {
      const over = [...drafts.keys()].filter((draft) => draft.until <= now);
      over.forEach(outbox.remove);
      return over;
    },

    /** The next moment at which time alone changes something. */
    wake(now: number): number {
      let next = Infinity;
      for (const { until } of drafts.keys()) next = Math.min(next, until);
      for (const { held } of lanes.values()) if (held > now) next = Math.min(next, held);
      return next;
    },

    /** Whether a message is one of ours that must not be heard here. */
    mutes(key: string | undefined): boolean {
      if (key !== undefined) for (const { mute } of drafts.keys()) if (mute === key) return true;
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
    wait: (): number => (!rate || left >= 1 ? 0 : Math.ceil(((1 - left) / rate) * 1000)),
  };
};
