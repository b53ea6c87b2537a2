/** Milliseconds: for an answer; for one when our own timers were late; by how much a timer is late that proves nothing. */
const PATIENCE = 5_000;
const PATIENCE_LATE = 10_000;
const LATE = 5_000;

/** What to do now, and after how many milliseconds to look again. */
export type Beat = { act: "wait" | "ask" | "dead"; ms: number };

/** Whether the line lives. Times are milliseconds of any one clock; it may jump. */
export const createHeartbeat = () => {
  let due = 0;
  let span = 0;
  let asked = false;
  const set = (now: number, ms: number, ask: boolean): number => {
    asked = ask;
    span = ms;
    due = now + ms;
    return ms;
  };
  return {
    /** Something came: for so long silence is fine. */
    heard: (now: number, quiet: number): number => set(now, quiet, false),

    /** In doubt: we ask now, and wait so long for anything. */
    ask: (now: number, patience = PATIENCE): number => set(now, patience, true),

    /** A command went out: without anything by then, ask. Milliseconds until the next look. */
    hasten(now: number, quiet: number): number {
      if (!asked && due > now + quiet) set(now, quiet, false);
      return due - now;
    },

    /** A timer woke us. */
    wake(now: number): Beat {
      const left = due - now;
      // More left than was given: the clock went back.
      if (left > 0 && left <= span) return { act: "wait", ms: left };
      const late = left < -LATE || left > 0;
      if (asked && !late) return { act: "dead", ms: 0 };
      return { act: "ask", ms: set(now, late ? PATIENCE_LATE : PATIENCE, true) };
    },
  };
};
