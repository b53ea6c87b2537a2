// A client of @openline/client behind a proxy that lets HTTP through and no WebSocket. Told by a JSON object as argument:
// {package, url, token, channel}. Says one JSON object: how the client got through, and what it heard.
import http from "node:http";

const told = JSON.parse(process.argv[2]);
const { createClient } = await import(told.package);
const target = new URL(told.url);
let upgrades = 0;

const proxy = http.createServer((request, response) => {
  const { method, url: path, headers } = request;
  const onward = http.request({ host: target.hostname, port: target.port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
});
proxy.on("upgrade", (_, socket) => {
  upgrades += 1;
  socket.destroy();
});
await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));

let lived = 0; // seconds in which neither this process nor the front door stood still
let counts = true;
const counted = (async () => {
  for (; counts; lived += 0.05) {
    await new Promise((ticked) => setTimeout(ticked, 50));
    await fetch(`${told.url}/healthz`);
  }
})();
const began = performance.now();
const client = createClient({ url: `http://127.0.0.1:${proxy.address().port}`, token: () => told.token });
const room = client.channel(told.channel);
const heard = [];
let first, firstLived; // seconds until the first message
const asked = new Promise((resolve) =>
  room.subscribe(({ data, from }) => {
    first ??= (performance.now() - began) / 1000;
    firstLived ??= lived;
    if (heard.push([data, from]) === 150) resolve();
  }),
);
client.connect();
const { transport, user } = await client.online();
const seconds = (performance.now() - began) / 1000;
const published = await Promise.all([...Array(150).keys()].map((n) => room.publish(n)));
await asked;
const { messages } = await room.history({ limit: 1, reverse: true });
const { count } = await room.presence();
const ping = await client.ping();
process.stdout.write(
  JSON.stringify({ transport, user, seconds, first, firstLived, upgrades, heard, offsets: published.map(({ offset }) => offset), newest: messages[0].data, count, ping }),
);
client.close();
counts = false;
await counted;
proxy.close();
proxy.closeAllConnections();
