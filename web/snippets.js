// A command of this tab as others would write it: curl, Python, JavaScript, React.

/** One word for a shell, whatever is in it. */
export const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export const LANGUAGES = ["curl", "Python", "JavaScript", "React"];

/**
 * The code in a language: to publish `data` in a channel, or without `data` to listen to it. `door` is the front door's
 * URL, `key` the publish's own.
 */
export function snippet(language, { door, token, channel, data, key }) {
  const write = { curl, Python: python, JavaScript: javascript, React: react }[language];
  return write({ door, token, channel, data, key });
}

function curl({ door, token, channel, data, key }) {
  const authorized = `-H ${quoted(`Authorization: Bearer ${token}`)}`;
  if (data === undefined) return `curl -N ${authorized} \\\n  ${quoted(`${door}/sse?channel=${encodeURIComponent(channel)}`)}`;
  const commands = [
    { type: "subscribe", id: 1, channel },
    { type: "publish", id: 2, key, channel, data },
  ];
  const body = `{"commands": [\n    ${commands.map((command) => JSON.stringify(command)).join(",\n    ")}]}`;
  return `curl -sN --max-time 3 ${authorized} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body)} \\\n  ${quoted(`${door}/sse`)}`;
}

function python({ door, token, channel, data }) {
  const work =
    data === undefined
      ? `            async for message in channel:
                print(message.sender, message.data)`
      : `            await channel.publish(${literal(data)})`;
  return `import asyncio
from openline import Client


async def main():
    async with Client(${literal(door)}, token=${literal(token)}) as client:
        async with client.channel(${literal(channel)}) as channel:
${work}


asyncio.run(main())`;
}

function javascript({ door, token, channel, data }) {
  const publish = data === undefined ? "" : `\nawait channel.publish(${JSON.stringify(data)});`;
  return `import { createClient } from ${JSON.stringify(`${door}/client.js`)};

const client = createClient({
  url: ${JSON.stringify(door)},
  token: ${JSON.stringify(token)},
});
client.connect();
const channel = client.channel(${JSON.stringify(channel)});
channel.subscribe(({ from, data }) => console.log(from, data));${publish}`;
}

function react({ door, token, channel, data }) {
  const taken = data === undefined ? "{ messages }" : "{ messages, publish }";
  const button = data === undefined ? "" : `\n      <button onClick={() => publish(${JSON.stringify(data)})}>Publish</button>`;
  return `import { createClient } from "@openline/client";
import { OpenlineProvider, useChannel } from "@openline/client/react";

const client = createClient({
  url: ${JSON.stringify(door)},
  token: ${JSON.stringify(token)},
});

function Messages() {
  const ${taken} = useChannel(${JSON.stringify(channel)}, { last: 50 });
  return (
    <>${button}
      <ol>
        {messages.map(({ offset, from, data }) => (
          <li key={offset}>{from}: {JSON.stringify(data)}</li>
        ))}
      </ol>
    </>
  );
}

export const App = () => (
  <OpenlineProvider client={client}>
    <Messages />
  </OpenlineProvider>
);`;
}

/** A JSON value as Python writes it. Its strings may be written as JSON's are. */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value)
      .map(([name, its]) => `${JSON.stringify(name)}: ${literal(its)}`)
      .join(", ")}}`;
  }
  return JSON.stringify(value);
}
