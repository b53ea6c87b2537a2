import { withStorage } from "./storage.js";
import type { Position, PositionStore, Start } from "./types.js";

/** What a message is at its place: the one that is due, seen before, or beyond one that never came. */
export type Order = "next" | "old" | "gap";

/** Where we are in each channel. It moves in the receive path alone, and never back within an epoch. */
export const createPositions = (store: PositionStore = new Map()) => {
  const names = new Set<string>();
  const put = (channel: string, { epoch, offset }: Position): void => {
    names.add(channel);
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
      put(channel, { epoch: at.epoch, offset });
      return offset === at.offset + skipped + 1 ? "next" : "gap";
    },

    /** The ack of a publish with `echo: false` stands where its message would: the position moves if that is the next place. */
    echo(channel: string, place: Partial<Position>): void {
      const at = store.get(channel);
      if (at && place.epoch === at.epoch && place.offset === at.offset + 1) put(channel, place as Position);
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
