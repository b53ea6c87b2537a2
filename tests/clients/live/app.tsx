// A user's page in React. `?url&channel`: the front door and the room; `&strict`: components are mounted twice. The token
// is that of the page's own back end. The tests look at `seen` and `client`, and call `show`.
import { createClient } from "@openline/client";
import { OpenlineProvider, useChannel, useConnection, usePresence, useTyping } from "@openline/client/react";
import { StrictMode, version } from "react";
import { flushSync } from "react-dom";
import { createRoot } from "react-dom/client";

const asked = new URLSearchParams(location.search);
const channel = asked.get("channel")!;
const seen = { heard: [] as unknown[], lost: 0, states: [] as string[], reasons: [] as string[], events: [] as string[] };

const client = createClient({
  url: asked.get("url")!,
  token: async ({ reason, signal }) => {
    seen.reasons.push(reason);
    const answer = await fetch("/realtime-token", { method: "POST", signal });
    return ((await answer.json()) as { token: string }).token;
  },
});
client.on("state", ({ state }) => void seen.states.push(state));
for (const type of ["visibilitychange", "freeze", "resume"]) document.addEventListener(type, () => seen.events.push(type));
addEventListener("pageshow", ({ persisted }) => persisted && seen.events.push("restored"));

function Room() {
  const { state } = useConnection();
  const { messages } = useChannel<number>(channel, {
    last: 500,
    keep: 500,
    onMessage: ({ data }) => seen.heard.push(data),
    onLost: () => void (seen.lost += 1),
  });
  const { count } = usePresence(channel);
  const { typing } = useTyping(channel);
  return <p>{`${state} ${count} here, ${messages.length} messages ${typing.join()}`}</p>;
}

const page = (
  <OpenlineProvider client={client}>
    <Room />
  </OpenlineProvider>
);
const root = createRoot(document.body);
const show = (shown = true) => flushSync(() => root.render(shown && (asked.has("strict") ? <StrictMode>{page}</StrictMode> : page)));
Object.assign(window, { client, seen, show, version });
show();
