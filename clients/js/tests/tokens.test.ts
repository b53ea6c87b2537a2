import { expect, test, vi } from "vitest";
import { Unauthorized } from "../src/index.js";
import { createTokens } from "../src/tokens.js";

const live = () => new AbortController().signal;

test("a text or null is used as it is, and cannot be renewed", async () => {
  expect(await createTokens("t").get("first", live())).toBe("t");
  expect(await createTokens(undefined).get("first", live())).toBeNull();
  expect(createTokens("t").renewable).toBe(false);
});

test("a token is used until it has ended", async () => {
  const provider = vi.fn(({ reason }) => `${reason} ${provider.mock.calls.length}`);
  const tokens = createTokens(provider);
  expect(await tokens.get("first", live())).toBe("first 1");
  expect(await tokens.get("first", live())).toBe("first 1");
  expect(await tokens.get("expired", live(), "first 1")).toBe("expired 2");
  expect(await tokens.get("expired", live(), "first 1")).toBe("expired 2");
  tokens.forget();
  expect(await tokens.get("first", live())).toBe("first 3");
  expect(provider).toHaveBeenCalledTimes(3);
});

test("one call at a time; what comes for an attempt that has ended is kept for the next", async () => {
  let give!: (token: string) => void;
  const provider = vi.fn(() => new Promise<string>((resolve) => (give = resolve)));
  const tokens = createTokens(provider);
  const first = new AbortController();
  const one = tokens.get("first", first.signal);
  first.abort();
  const other = tokens.get("first", live());
  give("t");
  expect(await Promise.all([one, other])).toEqual(["t", "t"]);
  expect(provider).toHaveBeenCalledTimes(1);
});

test("a call that was aborted with its attempt does not fail the next one", async () => {
  const first = new AbortController();
  const provider = vi
    .fn()
    .mockImplementationOnce(({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))))
    .mockImplementationOnce(() => "t");
  const tokens = createTokens(provider);
  const one = tokens.get("first", first.signal);
  const other = tokens.get("first", live());
  first.abort();
  await expect(one).rejects.toThrow();
  expect(await other).toBe("t");
});

test("what the provider throws is thrown, and it is asked again", async () => {
  const provider = vi.fn().mockRejectedValueOnce(new Error("no")).mockResolvedValueOnce("t");
  const tokens = createTokens(provider);
  await expect(tokens.get("first", live())).rejects.toThrow("no");
  expect(await tokens.get("first", live())).toBe("t");
});

test.each([
  ["undefined", undefined],
  ['""', ""],
  ["number", 42],
  ["object", { token: "t" }],
])("a function that gives %s and never gave a token is a mistake that is named", async (what, given) => {
  const got = createTokens(() => given as never).get("first", live());
  await expect(got).rejects.toThrow(Unauthorized);
  await expect(got).rejects.toThrow(`\`token\` gave ${what}: give a token, or null`);
});

test("an empty text in place of a token is the same mistake, null is none", async () => {
  await expect(createTokens("").get("first", live())).rejects.toThrow('gave ""');
  expect(await createTokens(() => null).get("first", live())).toBeNull();
});

test("one who has given a token, then something else, is asked again", async () => {
  const tokens = createTokens(vi.fn().mockResolvedValueOnce("t").mockResolvedValueOnce(undefined).mockResolvedValueOnce("u"));
  await tokens.get("first", live());
  const got = tokens.get("expired", live(), "t");
  await expect(got).rejects.toThrow(TypeError);
  await expect(got).rejects.toThrow("`token` gave undefined");
  expect(await tokens.get("expired", live(), "t")).toBe("u");
});
