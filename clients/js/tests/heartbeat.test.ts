import fc from "fast-check";
import { expect, test } from "vitest";
import { createHeartbeat } from "../src/heartbeat.js";

test("a line that is heard is left alone", () => {
  const beat = createHeartbeat();
  beat.heard(0, 10_000);
  expect(beat.wake(4_000)).toEqual({ act: "wait", ms: 6_000 });
});

test("silence is asked about, and no answer within 5 s is the end", () => {
  const beat = createHeartbeat();
  beat.heard(0, 10_000);
  expect(beat.wake(10_000)).toEqual({ act: "ask", ms: 5_000 });
  expect(beat.wake(15_000).act).toBe("dead");
});

test("any frame answers", () => {
  const beat = createHeartbeat();
  beat.heard(0, 10_000);
  beat.wake(10_000);
  beat.heard(12_000, 10_000);
  expect(beat.wake(15_000)).toEqual({ act: "wait", ms: 7_000 });
});

test("a timer more than 5 s late proves nothing: it asks, and gives 10 s", () => {
  const beat = createHeartbeat();
  beat.heard(0, 10_000);
  expect(beat.wake(15_001)).toEqual({ act: "ask", ms: 10_000 });
  expect(beat.wake(60_000)).toEqual({ act: "ask", ms: 10_000 });
  expect(beat.wake(70_000).act).toBe("dead");
});

test("a doubt asks at once, with a patience of its own", () => {
  const beat = createHeartbeat();
  beat.heard(0, 10_000);
  expect(beat.ask(100, 3_000)).toBe(3_000);
  expect(beat.wake(3_100).act).toBe("dead");
});

test("an unanswered command brings the question forward, and never puts it off", () => {
  const beat = createHeartbeat();
  beat.heard(0, 30_000);
  expect(beat.hasten(1_000, 10_000)).toBe(10_000);
  expect(beat.hasten(2_000, 10_000)).toBe(9_000);
  expect(beat.wake(11_000).act).toBe("ask");
  expect(beat.hasten(12_000, 1_000)).toBe(4_000);
});

test("a clock that goes back does not put the question off", () => {
  const beat = createHeartbeat();
  beat.heard(1_000_000, 10_000);
  expect(beat.wake(0)).toEqual({ act: "ask", ms: 10_000 });
});

test("a line that says nothing is found dead within silence and patience, whatever the clock does", () =>
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -100_000, max: 100_000 }), { maxLength: 10 }), (jumps) => {
      const beat = createHeartbeat();
      let now = 0;
      let ms = beat.heard(now, 10_000);
      let spent = 0;
      for (let n = 0; n < 50; n++) {
        spent += ms;
        now += ms + (jumps[n] ?? 0);
        const found = beat.wake(now);
        if (found.act === "dead") {
          expect(spent).toBeLessThanOrEqual(10_000 * (jumps.length + 3));
          return;
        }
        ms = found.ms;
      }
      expect.unreachable();
    }),
  ));
