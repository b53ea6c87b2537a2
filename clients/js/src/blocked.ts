import { withStorage } from "./storage.js";
import type { TransportName } from "./types.js";

const KEY = "openline:stream until";
const REMEMBERED_MS = 600_000;

/**
 * Whether WebSocket is blocked here, and so the next attempt is a stream over HTTP.
 *
 * Blocked: two attempts in a row without one frame, while the front door answers HTTP. Times are milliseconds since 1970.
 */
export const createBlocked = (allowed: readonly TransportName[] = ["websocket", "stream"]) => {
  const both = allowed.length > 1;
  let mute = 0;
  let worked = false;
  let blocked: boolean | undefined;
  const decide = (now: boolean): void => {
    blocked = now;
    mute = 0;
  };
  return {
    /** How to try next. `answers` asks the front door over HTTP. */
    async choose(now: number, answers: () => Promise<boolean>): Promise<TransportName> {
      if (!both) return allowed[0]!;
      if (blocked === undefined) withStorage((kept) => (blocked = Number(kept.getItem(KEY)) > now));
      // HTTP is silent too: that is the network, and WebSocket is tried again.
      if (!blocked && mute >= 2 && (await answers())) decide(true);
      return blocked ? "stream" : "websocket";
    },

    /** A line was greeted. */
    works(transport: TransportName, now: number): void {
      if (transport === "websocket") {
        worked = true;
        decide(false);
        withStorage((kept) => kept.removeItem(KEY));
      } else if (both && !worked) withStorage((kept) => kept.setItem(KEY, `${now + REMEMBERED_MS}`));
    },

    /** An attempt ended before it was greeted. `heard`: a frame came; 1006: closed without a word, or silent for too long. */
    failed(transport: TransportName, heard: boolean, code: number): void {
      if (transport === "stream") {
        // Overloaded, or the network: WebSocket has its turn, once.
        decide(false);
        mute = 1;
      } else mute = heard || code !== 1006 ? 0 : mute + 1;
    },
  };
};
