// Lines for a terminal, as a back end would send them: built for this address and room, with nothing secret in them.

import { offers } from "./demo.js";
import { $, copyButton, h } from "./dom.js";
import { quoted } from "./snippets.js";
import { makeTabs } from "./tabs.js";

const GRANT = (door, client) => `TOKEN=$(curl -s -u "${client}" \\
  -d grant_type=client_credentials \\
  ${quoted(`${door}/auth/token`)} | sed \\
  's/.*"access_token" *: *"\\([^"]*\\)".*/\\1/')`;

// The terminal of `make run` has printed it.
const DEMO_CLIENT = "Put in place of SECRET that of the client demo, which stands in the terminal in which Openline runs.";

// Compose and Kubernetes make no client: an operator adds one, and only the operator saw its secret.
const ADD_CLIENT =
  "First add the client backend, as docs/deploy/compose.md or docs/deploy/kubernetes.md says, and put its secret in place of SECRET.";

const LINES = [
  ["Notify", "Everybody with this page open sees it.", (door) => `curl -H "Authorization: Bearer $TOKEN" \\
  -d level=success -d title="It works" \\
  -d message="Sent by curl" \\
  ${quoted(`${door}/notify/demo`)}`],
  ["Publish", "Into this room, as a back end does.", (door, room) => `curl -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"data": {"text": "Hello from HTTP"}}' \\
  ${quoted(`${door}/v1/channels/room:${encodeURIComponent(room)}/messages`)}`],
  ["To you", "Your personal channel, on every tab and device.", (door, room, user) => `curl -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"data": {"title": "Only for you"}}' \\
  ${quoted(`${door}/v1/users/${encodeURIComponent(user)}/messages`)}`],
];

export class TryIt {
  #of = null; // {room, user, demo}
  #chosen = 0;
  #tabs = makeTabs($("try-tabs"), $("try"), LINES.map(([name]) => name), (index) => {
    this.#chosen = index;
    this.#draw();
  });

  async show({ room, user }) {
    const { demo } = await offers();
    this.#of = { room, user, demo };
    this.#tabs(this.#chosen);
  }

  #draw() {
    if (!this.#of) return;
    const { room, user, demo } = this.#of;
    const [, what, build] = LINES[this.#chosen];
    const door = location.origin;
    $("try").replaceChildren(
      h("p", {}, what),
      h("p", { class: "quiet" }, demo ? DEMO_CLIENT : ADD_CLIENT),
      code("For a token that is good for an hour", GRANT(door, demo ? "demo:SECRET" : "backend:SECRET")),
      code("Then, as often as you like", build(door, room, user)),
    );
  }
}

function code(caption, text) {
  const head = h("div", { class: "caption" }, h("span", {}, caption), copyButton(() => text));
  return h("div", { class: "code" }, head, h("pre", { tabindex: "0" }, h("code", {}, text)));
}
