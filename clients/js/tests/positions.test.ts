import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createPositions, sessionPositions } from "../src/positions.js";

const at = (offset: number, epoch = "e") => ({ epoch, offset });
const standing = (offset: number) => {
  const positions = createPositions();
  positions.begin("a", at(offset));
  return positions;
};

describe("a message", () => {
  test.each([
    ["the next", 6, undefined, "next", 6],
    ["behind skipped ones", 9, 3, "next", 9],
    ["seen before", 5, undefined, "old", 5],
    ["far behind", 1, undefined, "old", 5],
    ["beyond a hole", 8, undefined, "gap", 8],
    ["beyond more than was skipped", 9, 2, "gap", 9],
    ["ephemeral", undefined, undefined, "next", 5],
  ])("%s", (_name, offset, skipped, order, then) => {
    const positions = standing(5);
    expect(positions.take("a", offset, skipped)).toBe(order);
    expect(positions.get("a")).toEqual(at(then));
  });

  test("without a place to start from is taken, and makes none", () => {
    const positions = createPositions();
    expect(positions.take("a", 9)).toBe("next");
    expect(positions.get("a")).toBeUndefined();
  });
});

describe("a start", () => {
  test.each([
    ["the first", undefined, { ...at(9) }, false, at(9)],
    ["recovered", at(5), { ...at(5), recovered: true }, false, at(5)],
    ["recovered behind what the line before brought", at(7), { ...at(5), recovered: true }, false, at(7)],
    ["not recovered", at(5), { ...at(9), recovered: false }, true, at(9)],
    ["not recovered, in a new epoch that counts from less", at(50), { ...at(2, "f"), recovered: false }, true, at(2, "f")],
    ["without a word where we had a place further back", at(5), at(9), true, at(9)],
    ["without a word where nothing was missed", at(5), at(5), false, at(5)],
    ["without a word in another epoch", at(5), at(5, "f"), true, at(5, "f")],
  ])("%s", (_name, before, start, lost, then) => {
    const positions = createPositions();
    if (before) positions.begin("a", before);
    expect(positions.begin("a", start)).toBe(lost);
    expect(positions.get("a")).toEqual(then);
  });
});

test("the ack of a publish with echo false takes the next place, and no other", () => {
  const positions = standing(5);
  for (const place of [at(7), at(6, "f"), at(5), {}]) positions.echo("a", place);
  expect(positions.get("a")).toEqual(at(5));
  positions.echo("a", at(6));
  expect(positions.get("a")).toEqual(at(7));
});

test("a slow reader is acked before it is given what came before, and that is no gap", () => {
  const positions = standing(4);
  for (const offset of [6, 8]) positions.echo("a", at(offset));
  expect(positions.take("a", 5)).toBe("next");
  expect(positions.get("a")).toEqual(at(6));
  expect(positions.take("a", 9, 1)).toBe("next"); // 7 was left out, 8 is its own
  positions.echo("a", at(11));
  expect(positions.take("a", 13, 1)).toBe("gap"); // of 10 and 12 one was left out, and the other never came
});

test("an ack without a place, of a channel that we have none in, is nothing", () => {
  const positions = createPositions();
  for (const place of [at(1), {}]) positions.echo("a", place);
  expect(positions.get("a")).toBeUndefined();
});

test("an ack of another epoch or channel explains nothing", () => {
  const positions = standing(4);
  positions.echo("a", at(6));
  positions.reset("a", at(4, "f"));
  expect(positions.take("a", 5)).toBe("next");
  expect(positions.take("a", 7)).toBe("gap");
  positions.begin("b", at(7, "f"));
  positions.echo("b", at(9, "f"));
  expect(positions.take("a", 8)).toBe("next");
  expect(positions.take("a", 10)).toBe("gap");
});

test("acks of a channel that is not read are kept up to a number", () => {
  const positions = standing(0);
  for (let offset = 2; offset <= 1003; offset++) positions.echo("a", at(offset));
  expect(positions.take("a", 1)).toBe("next");
  expect(positions.get("a")).toEqual(at(1));
});

test("clearing forgets what was put here, and nothing else of the store", () => {
  const store = new Map([["other", at(1)]]);
  const positions = createPositions(store);
  positions.begin("a", at(5));
  positions.clear();
  expect([...store.keys()]).toEqual(["other"]);
});

test("within an epoch no message and no start but a loss moves a position back", () =>
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.record({ do: fc.constant("take" as const), offset: fc.nat(50), skipped: fc.nat(3) }),
          fc.record({ do: fc.constant("begin" as const), offset: fc.nat(50), recovered: fc.constantFrom(true, undefined) }),
          fc.record({ do: fc.constant("echo" as const), offset: fc.nat(50) }),
        ),
      ),
      (steps) => {
        const positions = standing(10);
        const seen: number[] = [];
        for (const step of steps) {
          const before = positions.get("a")!.offset;
          if (step.do === "take" && positions.take("a", step.offset, step.skipped) !== "old") seen.push(step.offset);
          if (step.do === "begin") positions.begin("a", { ...at(step.offset), recovered: step.recovered } as never);
          if (step.do === "echo") positions.echo("a", at(step.offset));
          expect(positions.get("a")!.offset).toBeGreaterThanOrEqual(before);
        }
        expect(seen).toEqual([...new Set(seen)].sort((one, other) => one - other));
      },
    ),
  ));

describe("positions of a session", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("outlive the page", () => {
    const kept = new Map<string, string>();
    vi.stubGlobal("sessionStorage", {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
      removeItem: (key: string) => kept.delete(key),
    });
    sessionPositions("ada").set("room:a", at(7));
    expect(sessionPositions("ada").get("room:a")).toEqual(at(7));
    expect(sessionPositions("bob").get("room:a")).toBeUndefined();
    sessionPositions("ada").delete("room:a");
    expect(sessionPositions("ada").get("room:a")).toBeUndefined();
  });

  test("are kept in memory where storage is forbidden", () => {
    vi.stubGlobal("sessionStorage", undefined);
    const store = sessionPositions();
    store.set("room:a", at(7));
    expect(store.get("room:a")).toEqual(at(7));
  });
});
