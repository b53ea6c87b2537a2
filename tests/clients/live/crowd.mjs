// Clients of @openline/client in one process, that listen to one channel and publish to it. Told by a JSON object as argument:
// {package, url, bearer, channel, clients, publishers, ttl, socket, transports}. `socket`: where to import `ws` from, in place of Node's own.
// Commands on standard input, a word a line: `start` and `stop` publishing, `report`. Facts on standard output, a JSON object a line.
import { createInterface } from "node:readline";

const told = JSON.parse(process.argv[2]);
const { createClient } = await import(told.package);
const Socket = told.socket ? (await import(told.socket)).WebSocket : undefined;
const say = (fact) => process.stdout.write(`${JSON.stringify(fact)}\n`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function mint(sub) {
  const answer = await fetch(`${told.url}/auth/connect-tokens`, {
    method: "POST",
    headers: { Authorization: `Bearer ${told.bearer}`, "Content-Type": "application/json" },
    body: JSON.stringify({ sub, ttl: told.ttl ?? 3600 }),
  });
  if (answer.status !== 201) throw new Error(`no token: ${answer.status}`);
  return (await answer.json()).token;
}

function listener(number) {
  const seen = { offsets: [], lost: [], recovered: 0, leaves: 0, asked: [], states: [], gone: [], doubled: 0 };
  const client = createClient({
    url: told.url,
    ...(Socket && { WebSocket: Socket }),
    transports: told.transports ?? ["websocket"],
    token: ({ reason }) => {
      seen.asked.push(reason);
      return mint(`crowd-${number}`);
    },
  });
  let left;
  client.on("state", ({ state }) => {
    seen.states.push(state);
    if (state === "waiting") left ??= performance.now();
  });
  client.connect();
  const channel = client.channel(told.channel);
  // As a component that is mounted twice.
  channel.subscribe(() => (seen.doubled += 1))();
  channel.subscribe(({ offset }) => seen.offsets.push(offset));
  channel.on("lost", (lost) => {
    seen.lost.push(lost);
    seen.offsets.push(null); // where continuity ends
  });
  channel.on("leave", () => (seen.leaves += 1));
  channel.on("recovered", ({ count }) => (seen.recovered += count));
  channel.on("state", ({ state }) => {
    if (state !== "live" || left === undefined) return;
    seen.gone.push(performance.now() - left);
    left = undefined;
  });
  return { client, channel, seen };
}

const crowd = Array.from({ length: told.clients }, (_, number) => listener(number));
const places = [];
const refused = [];
let publishing = false;
let tasks = [];

async function publish({ channel }, number) {
  const pending = [];
  for (let count = 0; publishing; count += 1) {
    pending.push(channel.publish({ number, count }).then(({ offset }) => places.push(offset), (error) => refused.push(error.code)));
    await pause(40);
  }
  await Promise.all(pending);
}

/** Waits until a condition holds, 60 s at most: what did not come is for the tests to find. */
const until = async (fits, { pauses = 20 } = {}) => {
  for (const end = performance.now() + 60_000; !fits() && performance.now() < end; ) await pause(pauses);
};

const commands = {
  start() {
    publishing = true;
    tasks = crowd.slice(0, told.publishers ?? 5).map(publish);
  },
  async stop() {
    publishing = false;
    let settled = false;
    Promise.all(tasks).then(() => (settled = true));
    // Until nothing comes any more and all have come as far. That it is all that was published is for the tests to check.
    // By their positions: the last that a client was told may be a loss, and then it stands where others have heard a message.
    const ends = () => new Set(crowd.map(({ channel: { position } }) => `${position?.epoch} ${position?.offset}`));
    let before;
    const quiet = () => {
      const last = [...ends()];
      const still = settled && last.length === 1 && last[0] === before;
      before = last[0];
      return still;
    };
    await until(quiet, { pauses: 500 });
    say({ stopped: places.length, settled, ends: [...ends()] });
  },
  report() {
    say({ places, refused, seen: crowd.map(({ seen }) => seen), nodes: crowd.map(({ client }) => client.connection?.node ?? null) });
  },
};

await Promise.all(crowd.map(({ client }) => client.online()));
await until(() => crowd.every(({ channel }) => channel.state === "live"));
say({ live: crowd.filter(({ channel }) => channel.state === "live").length });
for await (const line of createInterface({ input: process.stdin })) await commands[line.trim()]();
for (const { client } of crowd) client.close();
// Nothing of a closed client may keep a process: it ends by itself.
