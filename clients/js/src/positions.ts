import { withStorage } from "./storage.js";
import type { Position, PositionStore, Start } from "./types.js";

/** What a message is at its place: the one that is due, seen before, or beyond one that never came. */
export type Order = "next" | "old" | "gap";

/** Where we are in each channel. It moves in the receive path alone, and never back within an epoch. */
export const createPositions = (store: PositionStore = new Map()) => {
  const names = new Set<string>();
  /** Acked publishes with `echo: false` beyond the next place: a slow reader is acked before it is given what came before. */
  const own = new Set<string>();
  const put = (channel: string, { epoch, offset }: Position): void => {
    names.add(channel);
    while (own.delete(`${channel} ${epoch} ${offset + 1}`)) offset++;
    store.set(channel, { epoch, offset });
  };
  const positions = {
    get: (channel: string) => store.get(channel),

    forget(channel: string): void {
      names.delete(channel);
      store.delete(channel);
    },

    /** Forget all that this client has put there. */
    clear: (): void => names.forEach(positions.forget),

    /** A subscription stands from `start` on. Whether continuity is lost: the server said so, or said nothing where we had a place. */
    begin(channel: string, start: Start): boolean {
      const at = store.get(channel);
      const ahead = at?.epoch === start.epoch && at.offset >= start.offset && start.recovered !== false;
      // While we move to another line the old one delivers on: what comes again on the new one is dropped.
      put(channel, ahead ? at : start);
      return start.recovered === false || (!!at && !ahead && !start.recovered);
    },

    /** Continuity is lost, and goes on from here. */
    reset: put,

    /** A message came; the position moves. Ephemeral ones have no offset and no place. */
    take(channel: string, offset: number | undefined, skipped = 0): Order {
      const at = store.get(channel);
      if (offset === undefined || !at) return "next";
      if (offset <= at.offset) return "old";
      const missing = offset - at.offset - skipped - 1;
      let mine = 0;
      for (let one = offset; own.size && --one > at.offset; ) if (own.delete(`${channel} ${at.epoch} ${one}`)) mine++;
      put(channel, { epoch: at.epoch, offset });
      return !missing || missing === mine ? "next" : "gap";
    },

    /** The ack of a publish with `echo: false` stands where its message would: the position moves when that is the next place. */
    echo(channel: string, { epoch, offset }: Partial<Position>): void {
      const at = store.get(channel);
      if (!at || epoch !== at.epoch || !(offset! > at.offset)) return;
      if (own.size > 999) own.clear(); // of channels that are not read: at worst their reader is told of a gap
      own.add(`${channel} ${epoch} ${offset}`);
      put(channel, at);
    },
  };
  return positions;
};

export type Positions = ReturnType<typeof createPositions>;

/**
 * Positions that outlive a reload of the page, in sessionStorage; in memory where that is not to be had.
 *
 * Give each user another `name`: positions of one are no use to another.
 */
export const sessionPositions = (name = "openline"): PositionStore => {
  const memory = new Map<string, Position>();
  const key = (channel: string) => `${name} ${channel}`;
  return {
    get(channel) {
      const text = memory.has(channel) ? null : withStorage((storage) => storage.getItem(key(channel)));
      if (text) {
        const [epoch, offset] = text.split(" ");
        memory.set(channel, { epoch: epoch!, offset: Number(offset) });
      }
      return memory.get(channel);
    },
    set(channel, position) {
      memory.set(channel, position);
      withStorage((storage) => storage.setItem(key(channel), `${position.epoch} ${position.offset}`));
    },
    delete(channel) {
      memory.delete(channel);
      withStorage((storage) => storage.removeItem(key(channel)));
    },
  };
};
