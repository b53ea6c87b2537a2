// Lines to try in a terminal: built for this address and room, with nothing secret in them.

import { $, copyButton, h } from "./dom.js";

// `make run` writes secrets and process ids into its data folder. Of copies side by side, the one at this port is meant.
const RUN = (port) => `RUN=$(grep -ls \\
  'front_door.*:${port}"' var*/run.json)`;

const TOKEN = (door, port) =>
  `${RUN(port)}
SECRET=$(sed -n \\
  's/.*"client_secret": "\\(.*\\)",*/\\1/p' "$RUN")
TOKEN=$(curl -s -u "demo:$SECRET" \\
  -d grant_type=client_credentials \\
  ${door}/auth/token | sed \\
  's/.*"access_token" *: *"\\([^"]*\\)".*/\\1/')`;

const LINES = [
  ["Notify", "Everybody with this page open sees it.", (door) => `curl -H "Authorization: Bearer $TOKEN" \\
  -d level=success -d title="It works" \\
  -d message="Sent by curl" \\
  ${door}/notify/demo`],
  ["Publish", "Into this room, as a back end does.", (door, room) => `curl -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"data": {"text": "Hello from HTTP"}}' \\
  ${door}/v1/channels/room:${room}/messages`],
  ["To you", "Your personal channel, on every tab and device.", (door, room, user) => `curl -H "Authorization: Bearer $TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{"data": {"title": "Only for you"}}' \\
  ${door}/v1/users/${user}/messages`],
  ["Break it", "Kill a gateway: both tabs come back and miss nothing.", (door, room, user, port) => `${RUN(port)}
kill -9 $(sed -n \\
  's/.*"gateway-1": \\([0-9]*\\).*/\\1/p' "$RUN")`],
];

export class TryIt {
  constructor() {
    this.chosen = 0;
    this.tabs = LINES.map(([name], index) => this.#tab(name, index));
    $("try-tabs").replaceChildren(...this.tabs);
  }

  show({ room, user }) {
    this.room = room;
    this.user = user;
    this.#draw();
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
      this.chosen = (this.chosen + step + LINES.length) % LINES.length;
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
    const [, what, build] = LINES[this.chosen];
    const { origin: door, port } = location;
    const line = build(door, this.room, this.user, port);
    const token = line.includes("$TOKEN") ? code("Once, in the repository's folder", TOKEN(door, port)) : null;
    const caption = token ? "Then, as often as you like" : "In the repository's folder";
    $("try").setAttribute("aria-labelledby", `try-${this.chosen}`);
    $("try").replaceChildren(...[h("p", {}, what), token, code(caption, line)].filter(Boolean));
  }
}

function code(caption, text) {
  const head = h("div", { class: "caption" }, h("span", {}, caption), copyButton(() => text));
  return h("div", { class: "code" }, head, h("pre", { tabindex: "0" }, h("code", {}, text)));
}
