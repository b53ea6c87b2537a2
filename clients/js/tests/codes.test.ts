import { expect, test } from "vitest";
import { leastWait, verdict } from "../src/codes.js";

test.each([
  [1000, "stay"], [1002, "stay"], [1003, "stay"], [1007, "stay"], [1008, "stay"], [1009, "stay"],
  [4000, "stay"], [4001, "stay"], [4006, "stay"], [4099, "stay"],
  [1001, "wait"], [1005, "wait"], [1006, "wait"], [1011, "wait"], [1012, "wait"], [1013, "wait"], [1014, "wait"], [1015, "wait"],
  [4100, "wait"], [4104, "wait"], [4199, "wait"], [4300, "wait"], [4999, "wait"], [3000, "wait"],
  [4200, "renew"], [4299, "renew"],
])("%i means %s", (code, what) => expect(verdict(code)).toBe(what));

test.each([
  [4100, "7", undefined, 7],
  [4100, "2.5 seconds", undefined, 2.5],
  [4100, "100", undefined, 60],
  [4100, "-3", undefined, 0],
  [4100, "soon", undefined, 0],
  [4101, "7", undefined, 0],
  [1006, "", 12, 12],
  [4104, "", 3600, 60],
])("%i with reason %j and Retry-After %s waits %d s at least", (code, reason, retryAfter, seconds) =>
  expect(leastWait(code, reason, retryAfter)).toBe(seconds));
