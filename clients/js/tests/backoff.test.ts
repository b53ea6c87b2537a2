import fc from "fast-check";
import { expect, test } from "vitest";
import { backoff } from "../src/backoff.js";

const PAUSES = { base: 0.5, cap: 20 };

test.each([
  [0, 0.5], [1, 1], [2, 2], [5, 16], [6, 20], [50, 20], [5000, 20],
])("after %i failures at most %d s", (failures, most) => expect(backoff(failures, 0, PAUSES, () => 1)).toBe(most));

test("the jitter is full: from the least on", () => expect(backoff(6, 3, PAUSES, () => 0)).toBe(3));

test("any wait is between the least and the least and the cap", () =>
  fc.assert(
    fc.property(fc.nat(2000), fc.nat(60), fc.double({ min: 0, max: 1, noNaN: true }), (failures, least, random) => {
      const wait = backoff(failures, least, PAUSES, () => random);
      expect(wait).toBeGreaterThanOrEqual(least);
      expect(wait).toBeLessThanOrEqual(least + 20);
    }),
  ));
