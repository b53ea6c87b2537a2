// Lets clients/scenarios/run.py play the server to this client: commands on standard input, what it tells on standard output.
import { createInterface } from "node:readline";
import { createClient } from "../dist/index.js";

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let client;
const waiting = []; // what comes before `connect` has made the client
const heard = new Map(); // channel: its releases

function connect({ url, token }) {
  let calls = 0;
  client = createClient({
    url,
    token: token === null ? null : ({ reason }) => (tell({ token: reason }), token ?? `token-${++calls}`),
    transports: ["websocket"],
    backoff: { base: 0.1, cap: 0.5 },
    probe: 0,
  });
  client.on("state", (event) => {
    tell({ state: client.state });
    if (client.state === "failed") tell({ failed: { code: event.error?.code, close: event.error?.close } });
  });
  client.connect();
  for (const command of waiting.splice(0)) obey(command);
}

function subscribe({ channel: name, last }) {
  const channel = client.channel(name, last === undefined ? {} : { last });
  heard.set(name, [
    channel.subscribe(({ channel, data, offset, skipped, recovered }) => tell({ message: { channel, data, offset, skipped, recovered } })),
    channel.on("lost", ({ reason }) => tell({ lost: { channel: name, reason } })),
    channel.on("recovered", ({ count }) => tell({ recovered: { channel: name, count } })),
    channel.on("state", () => {
      if (channel.state === "failed") tell({ channel_failed: { channel: name, code: channel.error?.code } });
    }),
  ]);
}

function publish({ channel, data, tag, echo }) {
  client.channel(channel).publish(data, echo === undefined ? {} : { echo }).then(
    ({ offset, duplicate }) => tell({ published: { tag, offset, duplicate } }),
    ({ code }) => tell({ rejected: { tag, code } }),
  );
}

function obey(command) {
  if (command.do === "connect") connect(command);
  else if (!client) waiting.push(command);
  else if (command.do === "subscribe") subscribe(command);
  else if (command.do === "release") for (const release of heard.get(command.channel)) release();
  else if (command.do === "publish") publish(command);
  else if (command.do === "close") client.close();
}

for await (const line of createInterface({ input: process.stdin })) obey(JSON.parse(line));
process.exit(0);
