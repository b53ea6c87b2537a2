import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createOutbox, createPace, type Draft } from "../src/outbox.js";

const draft = (channel = "a", more: Partial<Draft> = {}): Draft => ({ channel, until: 1000, ...more });
const ready = () => true;

describe("an outbox", () => {
  test("lets leave in order, each once", () => {
    const outbox = createOutbox();
    const all = [draft("a"), draft("b"), draft("a")];
    all.forEach(outbox.add);
    expect(outbox.due(0, 2, ready)).toEqual(all.slice(0, 2));
    expect(outbox.due(0, 9, ready)).toEqual(all.slice(2));
    expect(outbox.due(0, 9, ready)).toEqual([]);
  });

  test("has a limit", () => {
    const outbox = createOutbox(1);
    expect([outbox.add(draft()), outbox.add(draft())]).toEqual([true, false]);
  });

  test("has 20 of a channel under way, and one where order counts", () => {
    const outbox = createOutbox();
    for (let n = 0; n < 25; n++) outbox.add(draft("a"));
    for (let n = 0; n < 3; n++) outbox.add(draft("b", { ordered: true }));
    expect(outbox.due(0, 99, ready)).toHaveLength(21);
  });

  test("keeps back a channel that is not ready, and no other", () => {
    const outbox = createOutbox();
    const [first, second] = [draft("a"), draft("b")];
    [first, second].forEach(outbox.add);
    expect(outbox.due(0, 9, (channel) => channel === "b")).toEqual([second]);
    expect(outbox.due(0, 9, ready)).toEqual([first]);
  });

  test("goes on from the refused one, when its channel is no longer held", () => {
    const outbox = createOutbox();
    const [first, second, third] = [draft(), draft(), draft()];
    [first, second].forEach(outbox.add);
    outbox.due(0, 9, ready);
    outbox.add(third);
    outbox.hold(first, 50);
    expect(outbox.wake(0)).toBe(50);
    expect(outbox.due(49, 9, ready)).toEqual([]);
    expect(outbox.due(50, 9, ready)).toEqual([first, third]);
    outbox.remove(second);
  });

  test("gives back what has waited too long, and wakes for it", () => {
    const outbox = createOutbox();
    const [short, long] = [draft("a", { until: 10 }), draft("a", { until: 20 })];
    [short, long].forEach(outbox.add);
    expect(outbox.wake(0)).toBe(10);
    expect(outbox.expire(9)).toEqual([]);
    expect(outbox.expire(10)).toEqual([short]);
    expect(outbox.expire()).toEqual([long]);
    expect(outbox.wake(0)).toBe(Number.POSITIVE_INFINITY);
  });

  test("knows what must not be heard here, as long as it waits", () => {
    const outbox = createOutbox();
    const silent = draft("a", { mute: "k" });
    outbox.add(silent);
    expect([outbox.mutes("k"), outbox.mutes("l"), outbox.mutes(undefined)]).toEqual([true, false, false]);
    outbox.remove(silent);
    expect(outbox.mutes("k")).toBe(false);
  });

  test("in whatever way answers, refusals and broken lines mix: nothing is lost, and first sends keep their order", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("add", "send", "ack", "refuse", "break"), { maxLength: 80 }), (steps) => {
        const outbox = createOutbox<Draft & { n: number }>(1000);
        const flying = new Set<Draft & { n: number }>();
        const first: number[] = [];
        const acked: number[] = [];
        let added = 0;
        let now = 0;
        const send = () => {
          for (const leaving of outbox.due(now, 5, ready)) {
            expect(flying.has(leaving)).toBe(false);
            flying.add(leaving);
            if (!first.includes(leaving.n)) first.push(leaving.n);
          }
        };
        const ack = () => {
          for (const one of [...flying].slice(0, 1)) {
            flying.delete(one);
            outbox.remove(one);
            acked.push(one.n);
          }
        };
        const ground = (until: number, most: number) => {
          for (const one of [...flying].slice(0, most)) {
            flying.delete(one);
            outbox.hold(one, until);
          }
        };
        for (const step of steps) {
          now += 1;
          if (step === "add") outbox.add({ ...draft("a", { until: 1e9 }), n: added++ });
          else if (step === "send") send();
          else if (step === "ack") ack();
          else if (step === "refuse") ground(now + 3, 1);
          else ground(0, 99);
        }
        for (let n = 0; n < 400 && outbox.size(); n++) {
          now += 10;
          send();
          ack();
        }
        expect(acked.sort((one, other) => one - other)).toEqual(Array.from({ length: added }, (_, n) => n));
        expect(first).toEqual([...first].sort((one, other) => one - other));
      }),
    );
  });

  test("where order counts, whatever is acknowledged, refused, aborted or broken off: what leaves is the oldest that waits", () => {
    const steps = fc.array(fc.tuple(fc.constantFrom("add", "ack", "refuse", "break", "abort"), fc.nat()), { size: "large", maxLength: 80 });
    fc.assert(
      fc.property(steps, (all) => {
        const outbox = createOutbox();
        const waiting: Draft[] = []; // oldest first
        let flying: Draft[] = [];
        const done = (one: Draft | undefined) => {
          if (!one) return;
          outbox.remove(one);
          waiting.splice(waiting.indexOf(one), 1);
          flying = flying.filter((other) => other !== one);
        };
        const held = (until: number) => {
          for (const one of flying.splice(0)) outbox.hold(one, until);
        };
        all.forEach(([step, which], now) => {
          if (step === "add") {
            const one = draft("a", { ordered: true, until: 1e9 });
            outbox.add(one);
            waiting.push(one);
          } else if (step === "ack") done(flying[0]);
          else if (step === "abort") done(waiting[which % (waiting.length || 1)]);
          else held(step === "refuse" ? now + 3 : 0);
          const leaving = outbox.due(now, 5, ready);
          expect(leaving.every((one, n) => one === waiting[n])).toBe(true);
          flying.push(...leaving);
          expect(flying.length).toBeLessThan(2);
        });
      }),
    );
  });
});

describe("a pace", () => {
  test("allows a burst, then its rate", () => {
    const pace = createPace(0, 45, 150);
    expect(pace.room(0)).toBe(150);
    for (let n = 0; n < 150; n++) pace.spend();
    expect(pace.room(0)).toBe(0);
    expect(pace.wait()).toBe(23);
    expect(pace.room(1000)).toBe(45);
    expect(pace.room(1e6)).toBe(150);
  });

  test("counts what left in spite of it", () => {
    const pace = createPace(0, 10, 1);
    for (let n = 0; n < 3; n++) pace.spend();
    expect([pace.room(0), pace.wait()]).toEqual([-2, 300]);
  });

  test("without a rate allows everything", () => {
    expect(createPace(0, 0, 0).room(0)).toBe(Number.POSITIVE_INFINITY);
    expect(createPace(0, 0, 0).wait()).toBe(0);
  });

  test("a clock that goes back gives nothing and takes nothing", () => {
    const pace = createPace(1000, 10, 5);
    pace.spend();
    expect(pace.room(0)).toBe(4);
  });
});
