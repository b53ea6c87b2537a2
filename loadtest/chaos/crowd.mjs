// Clients of @openline/client in one process, which keep what they were told. crowd.py is the same for Python.
// First line of standard input: {package, url, login: {client_id, client_secret}, name, clients, channels, each,
// publishers, every, ttl}: client n reads `each` of the channels; `every`: milliseconds between two publishes of one;
// `ttl`: seconds of a token. Then a word a line: `start`, `stop`, `look`, `report`. Answers: a JSON object a line.
import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = JSON.parse((await lines.next()).value);
const { createClient } = await import(told.package);
const say = (fact) => process.stdout.write(`${JSON.stringify(fact)}\n`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let bearer;
async function ask(path, headers, body) {
  const answer = await fetch(`${told.url}${path}`, { method: "POST", headers, body, signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw Object.assign(new Error(`${path}: ${answer.status}`), { status: answer.status });
  return answer.json();
}
async function logIn() {
  const form = new URLSearchParams({ grant_type: "client_credentials", ...told.login });
  return `Bearer ${(await ask("/auth/token", {}, form)).access_token}`;
}
async function mint(sub) {
  bearer ??= logIn();
  try {
    const headers = { Authorization: await bearer, "Content-Type": "application/json" };
    return (await ask("/auth/connect-tokens", headers, JSON.stringify({ sub, ttl: told.ttl }))).token;
  } catch (error) {
    bearer = undefined; // it has ended, or there is none: the client asks again
    throw error;
  }
}

/** What a client was told of a channel, in order: what the checker reads. */
function listen(client, name, seen) {
  const channel = client.channel(name);
  const record = (seen.channels[name] = []);
  let left;
  const back = () => {
    if (left !== undefined) seen.away.push([left, Date.now()]);
    left = undefined;
  };
  channel.on("state", ({ state }) => {
    if (state === "live" && !record.length) record.push(["start", channel.position.epoch, channel.position.offset]);
    if (state === "rejoining") {
      left ??= Date.now();
      record.push(["rejoining"]);
    }
    if (state === "failed") record.push(["failed", channel.error.code]);
  });
  channel.on("lost", ({ reason, began }) => {
    record.push(["lost", channel.position.epoch, channel.position.offset, began, reason, Date.now()]);
    back();
  });
  channel.on("recovered", () => {
    record.push(["recovered"]);
    back();
  });
  channel.on("join", ({ connection }) => record.push(["join", connection, Date.now()]));
  channel.on("leave", ({ connection }) => record.push(["leave", connection, Date.now()]));
  channel.subscribe(({ offset, data }) => record.push(["got", offset, data.id, Date.now()]));
  return channel;
}

function join(number) {
  const seen = { name: `${told.name}-${number}`, channels: {}, sent: [], refused: [], waiting: {}, away: [], arrivals: [] };
  const client = createClient({ url: told.url, transports: ["websocket"], token: () => mint(seen.name) });
  client.on("state", ({ state }) => state === "online" && seen.arrivals.push(Date.now()));
  const mine = Array.from({ length: told.each }, (_, n) => told.channels[(number * told.each + n) % told.channels.length]);
  const channels = mine.map((name) => listen(client, name, seen));
  client.connect();
  return { client, channels, seen, count: 0 };
}

let round = 0; // a new one with each `start` and each `stop`
async function publish(member) {
  const { channels, seen } = member;
  for (const mine = round; mine === round; member.count += 1) {
    const { count } = member;
    const channel = channels[count % channels.length];
    const id = `${seen.name}:${count}`;
    const echo = count % 4 !== 3;
    const begun = Date.now();
    seen.waiting[id] = [channel.name, begun];
    channel
      .publish({ id }, { echo })
      .then(
        ({ epoch, offset }) => seen.sent.push([channel.name, id, epoch, offset, echo, begun, Date.now()]),
        (error) => seen.refused.push([channel.name, id, error.code]),
      )
      .finally(() => delete seen.waiting[id]);
    await pause(told.every * (0.5 + Math.random()));
  }
}

const crowd = [];
const commands = {
  start() {
    round += 1;
    crowd.slice(0, told.publishers).forEach(publish);
    return {};
  },
  stop() {
    round += 1;
    return {};
  },
  look: () => ({
    live: crowd.filter(({ client, channels }) => client.connection && channels.every(({ state }) => state === "live")).length,
    waiting: crowd.reduce((sum, { seen }) => sum + Object.keys(seen.waiting).length, 0),
    positions: crowd.map(({ channels }) => channels.map(({ name, position }) => [name, position?.epoch, position?.offset])),
    nodes: crowd.map(({ client }) => client.connection?.node ?? null),
  }),
  report: () => ({ clients: crowd.map(({ seen }) => seen) }),
};

for (let number = 0; number < told.clients; number += 1) {
  crowd.push(join(number));
  if (number % 20 === 19) await pause(100); // as people come, not as one
}
for await (const line of lines) say(commands[line.trim()]());
round += 1;
for (const { client } of crowd) client.close();
