import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { OpenlineError, Unauthorized } from "../src/index.js";
import { createTestClient } from "../src/testing.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0); // whatever a test did: a closed client leaves no timer
  vi.useRealTimers();
  vi.restoreAllMocks();
});

type Made = ReturnType<typeof createTestClient>;
const NAME = "room:a";

/** A client that is online, ended with the test. */
const online = async (options: Parameters<typeof createTestClient>[0] = {}): Promise<Made & Disposable> => {
  const made = createTestClient({ random: () => 0.5, ...options });
  made.client.connect();
  await made.server.settle();
  return { ...made, [Symbol.dispose]: () => made.client.close() };
};
const pass = async ({ server }: Made, ms: number): Promise<void> => {
  await vi.advanceTimersByTimeAsync(ms);
  await server.settle();
};
const sent = ({ server }: Made, type: string) => server.received.filter((command) => command.type === type);

describe("a client", () => {
  test("does nothing before connect, and may be made anywhere", () => {
    const { client, server } = createTestClient();
    client.channel(NAME).subscribe(() => {});
    expect(client.state).toBe("idle");
    expect(server.connections).toBe(0);
    client.close();
  });

  test("says what is missing when it has no address, and stays idle", () => {
    const { client } = createTestClient({ url: "" });
    expect(() => client.connect()).toThrow("url");
    expect(client.state).toBe("idle");
  });

  test("auth and every subscribe leave in one flight, before the greeting", async () => {
    const made = createTestClient();
    for (const name of ["room:a", "room:b"]) made.client.channel(name).subscribe(() => {});
    made.client.connect();
    await made.server.settle();
    expect(made.server.received.slice(0, 3).map(({ type }) => type)).toEqual(["auth", "subscribe", "subscribe"]);
    made.client.close();
  });

  test.each(["connecting", "waiting", "moving"])("that is closed by whoever hears that it is %s stays closed", async (what) => {
    const made = createTestClient({ random: () => 0.5 });
    made.client.on("state", ({ state }) => state === what && made.client.close());
    made.client.connect();
    await made.server.settle();
    if (what === "waiting") made.server.drop(1006);
    if (what === "moving") made.client.reconnect();
    await pass(made, 60_000);
    expect([made.client.state, made.server.connections]).toEqual(["idle", 0]);
  });

  test.each([4000, 4005, 1008])("fails on %i, and says so to what waits", async (code) => {
    using made = await online();
    made.server.refuse("publish", "unavailable", { retryAfter: 100 });
    const waiting = made.client.channel(NAME).publish(1);
    const refused = expect(waiting).rejects.toMatchObject({ code: "closed", close: code });
    await made.server.settle();
    made.server.drop(code, "enough");
    await made.server.settle();
    expect(made.client.state).toBe("failed");
    await refused;
    await expect(made.client.channel(NAME).publish(2)).rejects.toBeInstanceOf(OpenlineError);
    made.client.connect();
    await made.server.settle();
    expect(made.client.state).toBe("online");
  });

  test.each([1001, 1006, 1011, 4101, 4104, 4900])("comes back after %i", async (code) => {
    using made = await online();
    made.server.drop(code);
    await made.server.settle();
    expect(made.client.state).toBe("waiting");
    await pass(made, 500);
    expect(made.client.state).toBe("online");
  });

  test("waits the seconds that 4100 names", async () => {
    using made = await online();
    made.server.drop(4100, "7");
    await pass(made, 6_900);
    expect(made.client.state).toBe("waiting");
    await pass(made, 600);
    expect(made.client.state).toBe("online");
  });

  test("waits longer with every failure, and starts again after 5 s of life", async () => {
    using made = await online();
    const waits: (number | undefined)[] = [];
    made.client.on("state", ({ wait }) => wait !== undefined && waits.push(wait));
    made.server.refuse("connect", "unavailable", { times: 3 });
    made.server.drop();
    await pass(made, 10_000);
    made.server.drop();
    await pass(made, 500);
    expect(waits).toEqual([250, 500, 1000, 2000, 250]);
  });

  test("asks for a new token after 4200 at once, and with backoff the second time", async () => {
    const token = vi.fn(({ reason }) => `${reason} ${token.mock.calls.length}`);
    using made = await online({ token });
    made.server.expire({ closed: true });
    await made.server.settle();
    expect(made.client.state).toBe("online");
    expect(token.mock.calls.map(([ask]) => ask.reason)).toEqual(["first", "expired"]);
  });

  test("a token that is only a text and has ended is a failure that says what would be right", async () => {
    using made = await online();
    made.server.expire({ closed: true });
    await made.server.settle();
    expect(made.client.state).toBe("failed");
  });

  test("a provider that throws Unauthorized fails the client, any other error is tried again", async () => {
    const token = vi.fn().mockRejectedValueOnce(new Error("503")).mockRejectedValue(new Unauthorized());
    const errors: OpenlineError[] = [];
    const made = createTestClient({ token, random: () => 0.5 });
    made.client.on("error", (error) => errors.push(error));
    made.client.connect();
    await pass(made, 0);
    expect(made.client.state).toBe("waiting");
    expect(errors).toHaveLength(1);
    await pass(made, 1_000);
    expect(made.client.state).toBe("failed");
    made.client.close();
  });

  test("a provider that gives no token and not null fails the client: no session begins without a user", async () => {
    const made = createTestClient({ token: async () => undefined as never });
    made.client.connect();
    await expect(made.client.online()).rejects.toThrow("`token` gave undefined");
    expect(made.client.state).toBe("failed");
    expect(made.server.received).toEqual([]);
    made.client.close();
  });

  test("a provider that gives nothing at a renewal keeps the line, and is asked again", async () => {
    const token = vi.fn().mockReturnValueOnce("a").mockReturnValueOnce(undefined).mockReturnValue("b");
    const errors: OpenlineError[] = [];
    using made = await online({ token });
    made.client.on("error", (error) => errors.push(error));
    made.server.expire();
    await made.server.settle();
    expect(errors.map(({ cause }) => String(cause))).toEqual([expect.stringContaining("`token` gave undefined")]);
    await pass(made, 5_000);
    expect(sent(made, "auth").map((command) => command["token"])).toEqual(["a", "b"]);
    expect(made.client.state).toBe("online");
  });

  test("moves to another line before it leaves this one", async () => {
    using made = await online();
    const got: unknown[] = [];
    made.client.channel(NAME).subscribe(({ data }) => got.push(data));
    await made.server.settle();
    const before = made.client.connection?.connection;
    made.server.drain(4);
    made.server.publish(NAME, 1);
    await pass(made, 2_000);
    expect(made.client.connection?.connection).not.toBe(before);
    made.server.publish(NAME, 2);
    await pass(made, 3_000);
    expect(made.server.connections).toBe(1);
    expect(got).toEqual([1, 2]);
  });

  test("notices a line that says nothing any more within 15 s, and comes back", async () => {
    using made = await online();
    const before = made.client.connection?.connection;
    made.server.silence();
    await pass(made, 15_500);
    expect(made.client.state).toBe("online");
    expect(made.client.connection?.connection).not.toBe(before);
  });

  test("a listener that throws is reported and disturbs nobody", async () => {
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    using made = await online();
    const got: unknown[] = [];
    const channel = made.client.channel(NAME);
    channel.subscribe(() => {
      throw new Error("mine");
    });
    channel.subscribe(({ data }) => got.push(data));
    await made.server.settle();
    made.server.publish(NAME, 1);
    await made.server.settle();
    expect(got).toEqual([1]);
    expect(report).toHaveBeenCalledTimes(1);
  });

  test("another user gets nothing of the one before", async () => {
    using made = await online({ token: () => "t" });
    const channel = made.client.channel(NAME);
    channel.subscribe(() => {});
    await made.server.settle();
    made.server.publish(NAME, 1);
    await made.server.settle();
    made.server.become("bob");
    made.server.received.length = 0;
    made.server.drop();
    await pass(made, 500);
    expect(made.client.connection?.user).toBe("bob");
    expect(sent(made, "subscribe").at(-1)).not.toHaveProperty("since");
  });

  test("online and ping tell what is so", async () => {
    const { client, server } = createTestClient();
    await expect(client.ping()).rejects.toMatchObject({ code: "disconnected" });
    await expect(client.online()).rejects.toMatchObject({ code: "disconnected" });
    client.connect();
    const greeting = client.online();
    await server.settle();
    expect((await greeting).user).toBe("me");
    const asked = client.ping();
    await server.settle();
    expect(await asked).toBe(client.latency);
    client.close();
  });
});

describe("a channel", () => {
  test("recovers what was missed, marks it, and counts it", async () => {
    using made = await online();
    const got: [unknown, boolean][] = [];
    const counts: number[] = [];
    const channel = made.client.channel(NAME);
    channel.subscribe(({ data, recovered }) => got.push([data, recovered]));
    channel.on("recovered", ({ count }) => counts.push(count));
    await made.server.settle();
    made.server.publish(NAME, 1);
    await made.server.settle();
    made.server.drop();
    await made.server.settle();
    expect(channel.state).toBe("rejoining");
    made.server.publish(NAME, 2);
    await pass(made, 500);
    made.server.publish(NAME, 3);
    await made.server.settle();
    expect(got).toEqual([[1, false], [2, true], [3, false]]);
    expect(counts).toEqual([1]);
  });

  test("tells of a loss, and warns once when nobody listens to that", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    using made = await online();
    const channel = made.client.channel(NAME);
    channel.subscribe(() => {});
    await made.server.settle();
    made.server.lose(NAME);
    made.server.lose(NAME);
    await made.server.settle();
    expect(warn).toHaveBeenCalledTimes(1);
    const lost: number[] = [];
    channel.on("lost", ({ wait }) => lost.push(wait));
    made.server.lose(NAME);
    await made.server.settle();
    expect(lost).toEqual([500]);
  });

  test("mounted twice sends nothing more and shows nothing", async () => {
    using made = await online();
    const channel = made.client.channel(NAME);
    const states: string[] = [];
    const got: unknown[] = [];
    channel.on("state", ({ state }) => states.push(state));
    channel.subscribe(() => {})();
    const release = channel.subscribe(({ data }) => got.push(data));
    await pass(made, 5_000);
    release();
    channel.subscribe(({ data }) => got.push(data));
    await pass(made, 5_000);
    made.server.publish(NAME, 1);
    await made.server.settle();
    expect(states).toEqual(["joining", "live"]);
    expect(sent(made, "subscribe")).toHaveLength(1);
    expect(sent(made, "unsubscribe")).toHaveLength(0);
    expect(got).toEqual([1]);
  });

  test("is left 1.5 s after the last release, and forgotten", async () => {
    using made = await online();
    const channel = made.client.channel(NAME);
    const heard: unknown[] = [];
    channel.on("join", (event) => heard.push(event));
    channel.subscribe(() => {})();
    await pass(made, 1_400);
    expect(sent(made, "unsubscribe")).toHaveLength(0);
    await pass(made, 200);
    expect(sent(made, "unsubscribe")).toHaveLength(1);
    expect(made.client.channel(NAME)).not.toBe(channel);
    channel.subscribe(() => {}); // whoever kept the object may use it again
    await made.server.settle();
    expect(made.client.channel(NAME).state).toBe("live");
    made.server.join("eve", NAME);
    await made.server.settle();
    expect(heard).toEqual([]);
  });

  test("1,000 times subscribed and released leaves no timer and no listener", async () => {
    using made = await online();
    const timers = vi.getTimerCount();
    const { signal } = new AbortController();
    const remove = vi.spyOn(signal, "removeEventListener");
    const add = vi.spyOn(signal, "addEventListener");
    for (let n = 0; n < 1000; n++) made.client.channel(`room:${n % 50}`).subscribe(() => {}, { signal })();
    await pass(made, 1_600);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(timers);
    expect(remove).toHaveBeenCalledTimes(add.mock.calls.length);
    expect(new Set(sent(made, "unsubscribe").map(({ channel }) => channel)).size).toBe(50);
  });

  test("is asked for again after a temporary refusal, and fails on a final one until somebody subscribes again", async () => {
    using made = await online();
    const channel = made.client.channel(NAME);
    made.server.refuse("subscribe", "rate_limited", { retryAfter: 2 });
    channel.subscribe(() => {});
    await pass(made, 2_900);
    expect(channel.state).toBe("joining");
    await pass(made, 200);
    expect(channel.state).toBe("live");
    made.server.unsubscribe(NAME, "no longer a member");
    await made.server.settle();
    expect([channel.state, channel.error?.message]).toEqual(["failed", "no longer a member"]);
    made.server.drop();
    await pass(made, 500);
    expect(channel.state).toBe("failed");
    channel.subscribe(() => {});
    await made.server.settle();
    expect(channel.state).toBe("live");
  });

  test("that the server subscribes is not asked for, and its newest come first", async () => {
    const made = createTestClient({ subscribed: ["user:me"] });
    made.server.publish("user:me", 1);
    made.server.publish("user:me", 2);
    made.client.connect();
    await made.server.settle();
    const got: unknown[] = [];
    made.client.channel("user:me", { last: 1 }).subscribe(({ data }) => got.push(data));
    made.server.publish("user:me", 3);
    await made.server.settle();
    expect(got).toEqual([2, 3]);
    expect(sent(made, "subscribe")).toEqual([]);
    made.client.close();
  });

  test("what the schema refuses goes to invalid, and publish throws it", async () => {
    using made = await online();
    const channel = made.client.channel(NAME, { schema: z.object({ text: z.string() }) });
    const got: unknown[] = [];
    const invalid: string[] = [];
    channel.subscribe(({ data }) => got.push(data.text));
    channel.on("invalid", ({ issues }) => invalid.push(issues[0]!.message));
    await made.server.settle();
    made.server.publish(NAME, { text: 1 });
    made.server.publish(NAME, { text: "a" });
    await made.server.settle();
    expect([got, invalid.length, channel.position?.offset]).toEqual([["a"], 1, 2]);
    await expect(channel.publish({ text: 1 } as never)).rejects.toMatchObject({ code: "invalid_data" });
    expect(made.server.published).toEqual([]);
  });

  test("is one object for a name; other options warn and change nothing", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { client } = createTestClient();
    expect(client.channel(NAME, { last: 5 })).toBe(client.channel(NAME));
    client.channel(NAME, { last: 6 });
    expect(warn).toHaveBeenCalledTimes(1);
  });

  test("messages can be iterated over; too many that nobody takes are an error", async () => {
    using made = await online();
    const all = made.client.channel(NAME).messages({ buffer: 2 });
    await made.server.settle();
    for (const data of [1, 2, 3]) made.server.publish(NAME, data);
    await made.server.settle();
    expect([(await all.next()).value.data, (await all.next()).value.data]).toEqual([1, 2]);
    await expect(all.next()).rejects.toMatchObject({ code: "slow_reader" });
    expect((await all.next()).done).toBe(true);
    const controller = new AbortController();
    const newest = made.client.channel(NAME).messages({ buffer: 1, overflow: "oldest", signal: controller.signal });
    for (const data of [4, 5]) made.server.publish(NAME, data);
    await made.server.settle();
    expect((await newest.next()).value.data).toBe(5);
    const last = newest.next();
    controller.abort();
    expect((await last).done).toBe(true);
  });

  test("knows its members while somebody listens to them", async () => {
    using made = await online();
    const leave = made.server.join("eve", NAME, { name: "Eve" });
    const { members } = made.client.channel(NAME);
    expect(members.getSnapshot().state).toBe("idle");
    const release = members.subscribe(() => {});
    await made.server.settle();
    const users = () => members.getSnapshot().members.map(({ user }) => user);
    expect([members.getSnapshot().state, users()]).toEqual(["ready", ["eve", "me"]]);
    made.server.join("bob", NAME);
    leave();
    await made.server.settle();
    expect([users(), members.getSnapshot().users]).toEqual([["me", "bob"], 2]);
    release();
  });
});

describe("a publish", () => {
  test("waits for the line and the subscription, and keeps its order over reconnects, once", async () => {
    const made = createTestClient({ random: () => 0.5 });
    const channel = made.client.channel(NAME);
    const got: unknown[] = [];
    channel.subscribe(({ data }) => got.push(data));
    const all = [channel.publish(1), channel.publish(2)];
    made.client.connect();
    await made.server.settle();
    all.push(channel.publish(3));
    made.server.drop();
    all.push(channel.publish(4));
    await pass(made, 1_000);
    expect((await Promise.all(all)).map(({ offset }) => offset)).toEqual([1, 2, 3, 4]);
    expect(got).toEqual([1, 2, 3, 4]);
    made.client.close();
  });

  test("that is refused for now is held, and goes on from the refused one", async () => {
    using made = await online();
    const channel = made.client.channel(NAME, { ordered: true });
    made.server.refuse("publish", "rate_limited", { retryAfter: 3 });
    const all = [channel.publish(1), channel.publish(2)];
    await pass(made, 2_900);
    expect(made.server.published).toEqual([]);
    await pass(made, 200);
    await Promise.all(all);
    expect(made.server.published.map(({ data }) => data)).toEqual([1, 2]);
  });

  test.each([true, false])("whose data cannot be encoded is rejected at once, and holds nothing up (ordered: %s)", async (ordered) => {
    using made = await online();
    const channel = made.client.channel(NAME, { ordered });
    made.server.drop(); // what waits leaves with the return
    await made.server.settle();
    const circle: Record<string, unknown> = {};
    circle.circle = circle;
    const refused = expect(channel.publish(circle)).rejects.toThrow("circular");
    const all = [channel.publish(1), channel.publish(2)];
    await pass(made, 500);
    await refused;
    await Promise.all(all);
    expect(made.server.published.map(({ data }) => data)).toEqual([1, 2]);
  });

  test("is rejected after 240 s, beyond 500, on close and on abort; never dropped in silence", async () => {
    const made = createTestClient({ queue: { limit: 2, seconds: 240 } });
    const channel = made.client.channel(NAME);
    const controller = new AbortController();
    const late = expect(channel.publish(1)).rejects.toMatchObject({ code: "expired" });
    const aborted = expect(channel.publish(2, { signal: controller.signal })).rejects.toMatchObject({ code: "aborted" });
    await expect(channel.publish(3)).rejects.toMatchObject({ code: "queue_full" });
    controller.abort();
    await aborted;
    await pass(made, 240_100);
    await late;
    const closed = expect(channel.publish(4)).rejects.toMatchObject({ code: "disconnected" });
    made.client.close();
    await closed;
    await expect(channel.publish(5, { ephemeral: true })).rejects.toMatchObject({ code: "disconnected" });
    await expect(channel.publish(6, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
  });

  test("with echo false is not heard here, leaves no gap, and stays unheard after a reconnect", async () => {
    using made = await online();
    const channel = made.client.channel(NAME);
    const got: unknown[] = [];
    const lost: unknown[] = [];
    channel.subscribe(({ data }) => got.push(data));
    channel.on("lost", (event) => lost.push(event));
    await made.server.settle();
    const mine = channel.publish("mine", { echo: false });
    await made.server.settle();
    made.server.publish(NAME, "yours");
    await made.server.settle();
    expect([(await mine).offset, got, lost]).toEqual([1, ["yours"], []]);
  });

  test("with a conflate_key is heard with it, there and in the history", async () => {
    using made = await online();
    const channel = made.client.channel(NAME);
    const got: unknown[] = [];
    channel.subscribe(({ conflate_key }) => got.push(conflate_key));
    await made.server.settle();
    const mine = channel.publish(1, { conflate_key: "EURUSD" });
    await made.server.settle();
    await mine;
    const { messages } = await channel.history();
    expect([got, messages[0]?.conflate_key]).toEqual([["EURUSD"], "EURUSD"]);
    expect(made.server.published[0]).toMatchObject({ data: 1, conflate_key: "EURUSD" });
  });

  test("150 leave at once, then 45 a second", async () => {
    using made = await online();
    for (let n = 0; n < 200; n++) void made.client.channel(`room:${n}`).publish(n);
    await made.server.settle();
    expect(made.server.published.length).toBeLessThanOrEqual(150);
    await pass(made, 2_000);
    expect(made.server.published).toHaveLength(200);
  });
});

test("in an hour of tokens for 300 s, 20 reconnects and 10 naps, the provider is asked once for each token that ran out", async () => {
  let [calls, under, most, naps, drops] = [0, 0, 0, 0, 0];
  const token = async () => {
    calls += 1;
    most = Math.max(most, ++under);
    await new Promise((resolve) => setTimeout(resolve, 300));
    under -= 1;
    return `${Date.now()}`; // when it was made
  };
  using made = await online({ token });
  const { server } = made;
  await pass(made, 1000);
  const ranOut = new Set<string>();
  const began = Date.now();
  for (let step = 1; Date.now() < began + 3_600_000; step++) {
    if (step % 50 === 0) {
      vi.setSystemTime(Date.now() + 100_000); // asleep: no timer of ours runs
      naps += 1;
    }
    if (step % 25 === 0) {
      server.drop();
      drops += 1;
    }
    await pass(made, 5_000);
    const used: string = sent(made, "auth").at(-1)!.token;
    const age = Date.now() - Number(used);
    if (age < 270_000) continue;
    if (age > 300_000) server.expire({ closed: true });
    else if (!ranOut.has(used)) server.expire();
    ranOut.add(used);
    await pass(made, 1_000);
  }
  expect(made.client.state).toBe("online");
  expect([naps, drops]).toEqual([10, 20]);
  expect(ranOut.size).toBeGreaterThan(9);
  expect([calls, most]).toEqual([1 + ranOut.size, 1]);
});

test("after any frames, closes, sleeps and clock jumps: every message once and in order or a word, and no timer is left", async () => {
  const STEPS = ["publish", "say", "drop", "wait", "sleep", "drain", "silence", "lose", "expire", "refuse", "remount", "jump", "garbage"] as const;
  vi.spyOn(console, "warn").mockImplementation(() => {});
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { maxLength: 30 }), fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), async (steps, random) => {
      const made = createTestClient({ token: () => "t", random: () => random.next().value ?? 0 });
      const { client, server } = made;
      const channel = client.channel(NAME);
      const seen: { offset: number; epoch: string }[] = [];
      let losses = 0;
      const listen = () =>
        channel.subscribe(({ offset }) => {
          const place = channel.position!;
          const before = seen.at(-1);
          if (before?.epoch === place.epoch) expect(offset).toBe(before.offset + 1);
          else if (before) expect(losses).toBeGreaterThan(0);
          seen.push({ offset: offset!, epoch: place.epoch });
        });
      let release = listen();
      channel.on("lost", () => (losses += 1));
      const said: Promise<unknown>[] = [];
      client.connect();
      await server.settle();
      for (const step of steps) {
        if (step === "publish") server.publish(NAME, 0);
        else if (step === "say") said.push(channel.publish(1).catch((error) => expect(error).toBeInstanceOf(OpenlineError)));
        else if (step === "drop") server.drop();
        else if (step === "wait") await pass(made, 700);
        else if (step === "sleep") await pass(made, 40_000);
        else if (step === "drain") server.drain(2);
        else if (step === "silence") server.silence();
        else if (step === "lose") server.lose(NAME);
        else if (step === "expire") server.expire({ closed: seen.length % 2 === 0 });
        else if (step === "refuse") server.refuse("subscribe", "unavailable");
        else if (step === "jump") vi.setSystemTime(Date.now() - 3_600_000);
        else if (step === "garbage") server.direct({});
        else {
          const old = release;
          release = listen();
          old();
        }
        await server.settle();
      }
      await pass(made, 60_000);
      server.publish(NAME, "last");
      await server.settle();
      expect(client.state).toBe("online");
      expect(seen.at(-1)).toEqual(channel.position);
      await Promise.all(said);
      release();
      client.close();
      expect(vi.getTimerCount()).toBe(0);
      expect(server.connections).toBe(0);
    }),
    { numRuns: 60 },
  );
});
