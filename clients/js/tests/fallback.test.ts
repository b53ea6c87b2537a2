import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { stream } from "../src/fallback.js";
import { msgpack } from "../src/msgpack.js";
import type { Codec, Frame, Line } from "../src/types.js";

type Body = { secret?: string; commands: Frame[] };
type Call = { path: string; body: Body; bytes: number; response: ServerResponse };
type Told = ["open"] | ["event", Frame] | ["closed", number, string, number | undefined];

const SECRET = "k2J8";
const CONNECTED = { type: "connected", connection: "c1", secret: SECRET, user: null, node: "n", expires: null, ping: 25, channels: {} };
const JSON_CODEC = { subprotocol: "openline.json.v1", binary: false } as Codec;

let server: Server;
let calls: Call[];
let told: Told[];
let lines: Line[];
let answer: (call: Call) => void;

const until = async (condition: () => unknown): Promise<void> => {
  for (const end = performance.now() + 30_000; !condition(); await new Promise((next) => setTimeout(next, 5)))
    if (performance.now() > end) throw new Error(`never: ${condition}`);
};
const say = (response: ServerResponse, ...events: Frame[]): void => {
  for (const event of events) response.write(`data: ${JSON.stringify(event)}\n\n`);
};
const events = (): Frame[] => told.flatMap((each) => (each[0] === "event" ? [each[1]] : []));
const closed = () => told.find((each) => each[0] === "closed");
const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const sent = (): Call[] => calls.filter(({ path }) => path !== "/sse");

const open = (first: Frame[] = [{ type: "auth", id: 1 }], codec = JSON_CODEC): Line => {
  const line = stream(
    { url: address(), codec },
    {
      open() {
        told.push(["open"]);
        for (const command of first) line.send(command);
      },
      event: (frame) => void told.push(["event", frame]),
      closed: (code, reason, retryAfter) => void told.push(["closed", code, reason, retryAfter]),
    },
  );
  lines.push(line);
  return line;
};

beforeEach(async () => {
  calls = [];
  told = [];
  lines = [];
  answer = ({ path, response }) => {
    if (path !== "/sse") return void response.writeHead(202).end("{}");
    response.writeHead(200, { "content-type": "text/event-stream" });
    say(response, CONNECTED);
  };
  server = createServer((request: IncomingMessage, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const text = Buffer.concat(pieces);
      expect(request.method).toBe("POST");
      expect(request.headers["content-type"]).toBe("application/json");
      const call = { path: request.url!, body: JSON.parse(text.toString()) as Body, bytes: text.length, response };
      calls.push(call);
      answer(call);
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
});

afterEach(async () => {
  for (const line of lines) line.close(1000);
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

test("what is sent from inside open leaves with the first request, and no secret is told", async () => {
  open([{ type: "auth", id: 1, token: "t" }, { type: "subscribe", id: 2, channel: "room:a" }]);
  expect(told).toEqual([]);
  await until(() => events().length);
  expect(calls.map(({ path, body }) => [path, body])).toEqual([
    ["/sse", { commands: [{ type: "auth", id: 1, token: "t" }, { type: "subscribe", id: 2, channel: "room:a" }] }],
  ]);
  const { secret: _, ...greeting } = CONNECTED;
  expect(told).toEqual([["open"], ["event", greeting]]);
});

test("events are told in order, however their bytes are cut; comments and other lines are nothing", async () => {
  const many = [...Array(50)].map((_, n) => ({ type: "message", channel: "room:a", data: `€ ${n}`, offset: n }));
  answer = async ({ response }) => {
    response.writeHead(200);
    const bytes = Buffer.from([CONNECTED, ...many].map((each) => `: hello\r\nid: 1\ndata: ${JSON.stringify(each)}\r\n\n`).join(""));
    for (let at = 0; at < bytes.length; at += 37) {
      response.write(bytes.subarray(at, at + 37));
      await new Promise((next) => setImmediate(next));
    }
  };
  open();
  await until(() => events().length === 51);
  expect(events().slice(1)).toEqual(many);
});

test("commands go to the connection, one request at a time, in their order", async () => {
  const held: Call[] = [];
  const greet = answer;
  answer = (call) => (call.path === "/sse" ? greet(call) : void held.push(call));
  const line = open();
  line.send({ type: "ping", id: 2 }); // before it is open: it waits
  await until(() => events().length);
  for (let id = 3; id < 6; id++) line.send({ type: "ping", id });
  await until(() => held.length);
  line.send({ type: "ping", id: 6 });
  await new Promise((next) => setTimeout(next, 50));
  expect(held).toHaveLength(1);
  expect(held[0]!.path).toBe("/sse/c1");
  held[0]!.response.writeHead(202).end("{}");
  await until(() => held.length === 2);
  expect(calls.flatMap(({ body }) => body.commands.map(({ id }) => id))).toEqual([2, 1, 3, 4, 5, 6]);
  expect(held.map(({ body }) => body.secret)).toEqual([SECRET, SECRET]);
});

test("a request carries 100 commands and 64 KiB at most", async () => {
  const line = open();
  await until(() => events().length);
  for (let id = 0; id < 250; id++) line.send({ type: "ping", id });
  for (let id = 250; id < 255; id++) line.send({ type: "publish", id, channel: "room:a", data: "€".repeat(10_000) });
  await until(() => sent().flatMap(({ body }) => body.commands).length === 255);
  expect(sent().flatMap(({ body }) => body.commands.map(({ id }) => id))).toEqual([...Array(255).keys()]);
  expect(Math.max(...sent().map(({ body }) => body.commands.length))).toBe(100);
  expect(Math.max(...sent().map(({ bytes }) => bytes))).toBeLessThanOrEqual(65_536);
});

test("more than the first request may carry follows when the connection stands", async () => {
  open([...Array(130)].map((_, id) => ({ type: "ping", id })));
  await until(() => sent().length);
  expect(calls.map(({ body }) => body.commands.length)).toEqual([100, 30]);
});

test("closing is how it ends, with its code and reason", async () => {
  answer = ({ response }) => say(response.writeHead(200), CONNECTED, { type: "closing", code: 4100, reason: "7" }, { type: "late" });
  open();
  await until(closed);
  expect(told.slice(2)).toEqual([["closed", 4100, "7", undefined]]);
});

test("a stream that ends or breaks without it is 1006, told once", async () => {
  for (const cut of [(r: ServerResponse) => r.end(), (r: ServerResponse) => r.destroy()]) {
    told = [];
    answer = ({ response }) => say(response.writeHead(200), CONNECTED);
    open();
    await until(() => events().length);
    cut(calls.at(-1)!.response);
    await until(closed);
    expect(told.slice(2).map((each) => each.slice(0, 2))).toEqual([["closed", 1006]]);
  }
});

test.each([
  [401, 4001, undefined],
  [403, 4001, undefined],
  [429, 4104, 7],
  [503, 4104, 7],
  [502, 1006, 7],
  [404, 1006, undefined],
])("status %i of the first request is %i, and Retry-After is seen", async (status, code, retryAfter) => {
  answer = ({ response }) => void response.writeHead(status, retryAfter ? { "retry-after": `${retryAfter}` } : {}).end("{}");
  open();
  await until(closed);
  expect(closed()).toEqual(["closed", code, `status ${status} over HTTP`, retryAfter]);
});

test("nobody there is 1006", async () => {
  const url = address();
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  const line = stream({ url, codec: JSON_CODEC }, { open() {}, event() {}, closed: (code, reason) => void told.push(["closed", code, reason, undefined]) });
  lines.push(line);
  await until(closed);
  expect(closed()![1]).toBe(1006);
  server.listen(0);
});

test("429 for commands: the same commands go again after Retry-After, before newer ones", async () => {
  let refuse = 1;
  const greet = answer;
  answer = (call) =>
    call.path !== "/sse" && refuse-- > 0 ? void call.response.writeHead(429, { "retry-after": "0.2" }).end() : greet(call);
  const line = open();
  await until(() => events().length);
  line.send({ type: "ping", id: 2 });
  await until(() => sent().length);
  line.send({ type: "ping", id: 3 });
  await until(() => sent().length === 2);
  expect(sent().map(({ body }) => body.commands.map(({ id }) => id))).toEqual([[2], [2, 3]]);
});

test("one command that is too large fails alone", async () => {
  const greet = answer;
  answer = (call) => (call.bytes > 65_536 ? void call.response.writeHead(413).end() : greet(call));
  const line = open();
  await until(() => events().length);
  line.send({ type: "publish", id: 2, channel: "room:a", data: "x".repeat(70_000) });
  line.send({ type: "publish", id: 3, channel: "room:a", data: "x" });
  await until(() => events().length === 2 && sent().length === 2);
  expect(events()[1]).toMatchObject({ type: "error", id: 2, code: "too_large" });
  expect(sent()[1]!.body.commands.map(({ id }) => id)).toEqual([3]);
});

test.each([[404, 1006], [403, 1006], [503, 4104]])(
  "status %i for commands ends the line with %i: what was under way is not known",
  async (status, code) => {
    const greet = answer;
    answer = (call) => (call.path === "/sse" ? greet(call) : void call.response.writeHead(status).end());
    const line = open();
    await until(() => events().length);
    line.send({ type: "ping", id: 2 });
    await until(closed);
    expect(closed()![1]).toBe(code);
  },
);

test("after close nothing is told or sent, and the server sees the stream end", async () => {
  let ended = false;
  const greet = answer;
  answer = (call) => {
    call.response.on("close", () => (ended = true));
    greet(call);
  };
  const line = open();
  await until(() => events().length);
  const before = told.length;
  line.send({ type: "ping", id: 2 });
  line.close(1000);
  line.send({ type: "ping", id: 3 });
  await until(() => ended);
  await new Promise((next) => setTimeout(next, 30));
  expect(told).toHaveLength(before);
  expect(sent()).toHaveLength(0);
});

test("closed before it has begun, it asks for nothing", async () => {
  open().close(1000);
  await new Promise((next) => setTimeout(next, 30));
  expect(told).toEqual([]);
  expect(calls).toEqual([]);
});

test("who speaks MessagePack gets bytes as bytes, and is told that it cannot send them", async () => {
  const stored = { data: "AQI=", encoding: "base64", offset: 1, ts: 1 };
  answer = ({ response }) =>
    say(response.writeHead(200), CONNECTED, { type: "message", channel: "room:a", ...stored }, { type: "ack", id: 1, messages: [stored] });
  const line = open([{ type: "auth", id: 1 }], msgpack());
  await until(() => events().length === 3);
  const bytes = { data: Uint8Array.of(1, 2), offset: 1, ts: 1 };
  expect(events().slice(1)).toStrictEqual([{ type: "message", channel: "room:a", ...bytes }, { type: "ack", id: 1, messages: [bytes] }]);
  expect(() => line.send({ type: "publish", data: Uint8Array.of(1) })).toThrow(/encode them as text/);
});

test("who speaks JSON gets bytes as JSON has them", async () => {
  const message = { type: "message", channel: "room:a", data: "AQI=", encoding: "base64", offset: 1, ts: 1 };
  answer = ({ response }) => say(response.writeHead(200), CONNECTED, message);
  open();
  await until(() => events().length === 2);
  expect(events()[1]).toEqual(message);
});

test("a frame that cannot be read ends the line with a reason that quotes nothing of it", async () => {
  answer = ({ response }) => void response.writeHead(200).write('data: {"secret":"k2J8"\n\n');
  open();
  await until(closed);
  expect(closed()).toEqual(["closed", 1006, "no readable answer over HTTP", undefined]);
});
