import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createTestClient } from "../src/testing.js";
import type { Frame, LineEvents, Transport } from "../src/types.js";

const page = { window: new EventTarget(), document: Object.assign(new EventTarget(), { visibilityState: "visible" }) };
const connection = new EventTarget();

beforeEach(() => {
  vi.useFakeTimers();
  for (const [name, value] of Object.entries(page)) vi.stubGlobal(name, value);
  vi.stubGlobal("navigator", { connection });
});
afterEach(() => {
  page.document.visibilityState = "visible";
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const happen = (target: EventTarget, type: string, more: object = {}) =>
  void target.dispatchEvent(Object.assign(new Event(type), more));

const online = async (options: Parameters<typeof createTestClient>[0] = {}) => {
  const made = createTestClient({ random: () => 0.5, ...options });
  made.client.connect();
  await made.server.settle();
  const pass = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms);
    await made.server.settle();
  };
  return { ...made, pass };
};

test.each([
  ["offline", () => happen(page.window, "offline"), 1_000],
  ["online", () => happen(page.window, "online"), 3_000],
  ["another network", () => happen(connection, "change"), 3_000],
  ["visible again", () => happen(page.document, "visibilitychange"), 3_000],
  ["running again", () => happen(page.document, "resume"), 3_000],
])("%s makes us ask, and a line that does not answer is left after %#", async (_name, event, patience) => {
  const { client, server, pass } = await online();
  event();
  await pass(patience + 100);
  expect(client.state).toBe("online");
  server.silence();
  event();
  await pass(patience - 100);
  expect(client.state).toBe("online");
  await pass(200);
  expect(client.state).toBe("waiting");
  client.close();
});

test("offline alone closes nothing", async () => {
  const { client, pass } = await online();
  const before = client.connection;
  happen(page.window, "offline");
  await pass(60_000);
  expect(client.connection).toBe(before);
  client.close();
});

test.each([
  ["the network is back", () => happen(page.window, "online")],
  ["somebody looks", () => happen(page.document, "visibilitychange")],
])("a long wait ends within half a second when %s", async (_name, event) => {
  const { client, server, pass } = await online();
  server.drop(4100, "50");
  await server.settle();
  event();
  await pass(500);
  expect(client.state).toBe("online");
  client.close();
});

test("a hidden page that gets nothing asks later than the server would", async () => {
  const { client, server, pass } = await online();
  page.document.visibilityState = "hidden";
  server.direct({});
  await server.settle();
  server.silence();
  await pass(29_000);
  expect(client.state).toBe("online");
  await pass(6_500);
  expect(client.state).not.toBe("failed");
  expect(server.received.at(-1)?.type).toBe("auth");
  client.close();
});

test("a page in the back/forward cache has no line, and connects when it is shown again", async () => {
  const { client, server, pass } = await online();
  happen(page.window, "pagehide", { persisted: true });
  expect(server.connections).toBe(0);
  await pass(60_000);
  expect(client.state).toBe("waiting");
  happen(page.window, "pageshow", { persisted: true });
  await pass(0);
  expect(client.state).toBe("online");
  client.close();
});

test("a closed client listens to no page", async () => {
  const { client, server, pass } = await online();
  client.close();
  happen(page.window, "pageshow", { persisted: true });
  happen(page.window, "online");
  await pass(60_000);
  expect([client.state, server.connections]).toEqual(["idle", 0]);
});

/** A stream that greets, and keeps what it was sent. */
const streams = (end?: number) => {
  const opened: LineEvents[] = [];
  const sent: Frame[] = [];
  const stream: Transport = (_dial, on) => {
    opened.push(on);
    queueMicrotask(() => {
      if (end) return on.closed(end, "");
      on.open();
      on.event({ type: "connected", connection: "s1", user: "me", node: "n", expires: null, ping: 25, channels: {} });
    });
    return { send: (command) => void sent.push(command), close: () => {} };
  };
  return { opened, sent, fallback: async () => ({ stream }) };
};
const both = (fetch: () => Promise<unknown>, fallback: ReturnType<typeof streams>["fallback"]) => ({
  transports: ["websocket" as const, "stream" as const],
  fetch: fetch as never,
  fallback,
});

test("WebSocket blocked twice while HTTP answers: the third attempt is a stream; WebSocket is taken over when it works again", async () => {
  const { opened, sent, fallback } = streams();
  const made = createTestClient({ random: () => 0, ...both(async () => ({}), fallback) });
  made.server.refuse("connect", "unavailable", { times: 2 });
  made.client.channel("room:a").subscribe(() => {});
  made.client.connect();
  await vi.advanceTimersByTimeAsync(100);
  expect([made.client.state, made.client.connection?.transport, opened.length]).toEqual(["online", "stream", 1]);
  expect(sent.map(({ type }) => type).slice(0, 2)).toEqual(["auth", "subscribe"]);
  const states: string[] = [];
  made.client.on("state", ({ state }) => states.push(state));
  for (let n = 0; n < 31; n++) {
    await vi.advanceTimersByTimeAsync(10_000);
    opened[0]!.event({ type: "ping" });
  }
  await made.server.settle();
  expect([made.client.connection?.transport, states]).toEqual(["websocket", []]);
  made.client.close();
  expect(vi.getTimerCount()).toBe(0);
});

test("WebSocket blocked while HTTP is silent too: that is the network, and no stream is tried", async () => {
  const { opened, fallback } = streams();
  const made = createTestClient({ random: () => 0, ...both(() => Promise.reject(new TypeError("network")), fallback) });
  made.server.refuse("connect", "unavailable", { times: 4 });
  made.client.connect();
  await vi.advanceTimersByTimeAsync(100);
  await made.server.settle();
  expect([made.client.connection?.transport, opened.length]).toEqual(["websocket", 0]);
  made.client.close();
});

test("a stream that is refused for overload gives WebSocket its turn", async () => {
  const { opened, fallback } = streams(4104);
  const made = createTestClient({ random: () => 0, ...both(async () => ({}), fallback) });
  made.server.refuse("connect", "unavailable", { times: 2 });
  made.client.connect();
  await vi.advanceTimersByTimeAsync(100);
  await made.server.settle();
  expect([made.client.connection?.transport, opened.length]).toEqual(["websocket", 1]);
  made.client.close();
});
