// Lines to try in a terminal: built for this address and room, with nothing secret in them, and only such as work here.

import { offers } from "./demo.js";
import { $, copyButton, h } from "./dom.js";

// `make run` writes secrets and process ids into its data folder. Of copies side by side, the one at this port is meant.
const RUN = (port) => `RUN=$(grep -ls \\
  'front_door.*:${port}"' var*/run.json)`;

const GRANT = (door, client) => `TOKEN=$(curl -s -u "${client}" \\
  -d grant_type=client_credentials \\
  ${quoted(`${door}/auth/token`)} | sed \\
  's/.*"access_token" *: *"\\([^"]*\\)".*/\\1/')`;

const DEMO = (door, port) =>
  `${RUN(port)}
SECRET=$(sed -n \\
  's/.*"client_secret": "\\(.*\\)",*/\\1/p' "$RUN")
${GRANT(door, "demo:$SECRET")}`;

// Compose and Kubernetes make no client: an operator adds one, and only the operator saw its secret.
const ADD_CLIENT =
  "First add the client backend, as docs/deploy/compose.md or docs/deploy/kubernetes.md says, and put its secret in place of SECRET.";

/** One word for a shell, whatever is in it. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

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

const BREAK = ["Break it", "Kill a gateway: both tabs come back and miss nothing.", (door, room, user, port) => `${RUN(port)}
kill -9 $(sed -n \\
  's/.*"gateway-1": \\([0-9]*\\).*/\\1/p' "$RUN")`];

export class TryIt {
  constructor() {
    this.chosen = 0;
  }

  async show({ room, user }) {
    this.room = room;
    this.user = user;
    this.asked ??= offers().then(({ demo }) => this.#offer(demo));
    await this.asked;
    this.#draw();
  }

  #offer(demo) {
    this.demo = demo;
    this.lines = demo ? [...LINES, BREAK] : LINES;
    this.tabs = this.lines.map(([name], index) => this.#tab(name, index));
    $("try-tabs").replaceChildren(...this.tabs);
  }

  #tab(name, index) {
    const chosen = () => {
      this.chosen = index;
      this.#draw();
    };
    const tab = h("button", { type: "button", role: "tab", id: `try-${index}`, "aria-controls": "try", onclick: chosen }, name);
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      this.chosen = (this.chosen + step + this.lines.length) % this.lines.length;
      this.#draw();
      this.tabs[this.chosen].focus();
    });
    return tab;
  }

  #draw() {
    this.tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === this.chosen));
      tab.tabIndex = index === this.chosen ? 0 : -1;
    });
    const [, what, build] = this.lines[this.chosen];
    const { origin: door, port } = location;
    const line = build(door, this.room, this.user, port);
    const shown = [h("p", {}, what)];
    if (!line.includes("$TOKEN")) {
      shown.push(code("In the repository's folder", line));
    } else if (this.demo) {
      shown.push(code("Once, in the repository's folder", DEMO(door, port)), code("Then, as often as you like", line));
    } else {
      shown.push(h("p", { class: "quiet" }, ADD_CLIENT));
      shown.push(code("For a token that is good for an hour", GRANT(door, "backend:SECRET")), code("Then, as often as you like", line));
    }
    $("try").setAttribute("aria-labelledby", `try-${this.chosen}`);
    $("try").replaceChildren(...shown);
  }
}

function code(caption, text) {
  const head = h("div", { class: "caption" }, h("span", {}, caption), copyButton(() => text));
  return h("div", { class: "code" }, head, h("pre", { tabindex: "0" }, h("code", {}, text)));
}
