import { expect, test, vi } from "vitest";
import { createBlocked } from "../src/blocked.js";

const yes = async () => true;
const no = async () => false;

test("WebSocket first; a stream after two attempts without a frame, while HTTP answers", async () => {
  const blocked = createBlocked();
  expect(await blocked.choose(0, yes)).toBe("websocket");
  blocked.failed("websocket", false, 1006);
  expect(await blocked.choose(0, yes)).toBe("websocket");
  blocked.failed("websocket", false, 1006);
  expect(await blocked.choose(0, no)).toBe("websocket");
  expect(await blocked.choose(0, yes)).toBe("stream");
  expect(await blocked.choose(0, no)).toBe("stream");
});

test.each([
  ["a frame came", true, 1006],
  ["any other code", false, 4104],
])("%s: it works", async (_name, heard, code) => {
  const blocked = createBlocked();
  blocked.failed("websocket", false, 1006);
  blocked.failed("websocket", heard, code);
  expect(await blocked.choose(0, yes)).toBe("websocket");
});

test("a stream that is refused gives WebSocket its turn, once", async () => {
  const blocked = createBlocked();
  for (let n = 0; n < 2; n++) blocked.failed("websocket", false, 1006);
  await blocked.choose(0, yes);
  blocked.failed("stream", false, 4104);
  expect(await blocked.choose(0, yes)).toBe("websocket");
  blocked.failed("websocket", false, 1006);
  expect(await blocked.choose(0, yes)).toBe("stream");
});

test("only what is allowed is tried", async () => {
  expect(await createBlocked(["stream"]).choose(0, no)).toBe("stream");
  const blocked = createBlocked(["websocket"]);
  for (let n = 0; n < 5; n++) blocked.failed("websocket", false, 1006);
  expect(await blocked.choose(0, yes)).toBe("websocket");
});

test("it is remembered for ten minutes, unless a WebSocket worked in this tab", async () => {
  const kept = new Map<string, string>();
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
    removeItem: (key: string) => kept.delete(key),
  });
  createBlocked().works("stream", 1_000);
  expect(await createBlocked().choose(600_999, no)).toBe("stream");
  expect(await createBlocked().choose(601_001, no)).toBe("websocket");
  const worked = createBlocked();
  worked.works("websocket", 2_000);
  worked.works("stream", 2_000);
  expect(kept.size).toBe(0);
  vi.unstubAllGlobals();
});
