// "What this tab sent and got": the frames, the count, and each command as code to copy.

import { $, copyButton, h } from "./dom.js";
import { LANGUAGES, snippet } from "./snippets.js";
import { makeTabs } from "./tabs.js";
import { short } from "./traffic.js";

const SHOWN = 12;
const EVERY = 250; // between two drawings, in milliseconds

export class Wire {
  #traffic;
  #token;
  #chosen = null; // the row whose code is shown; null: the last publish
  #room = "";
  #language = 0;
  #drawing = null;
  #pressed = false; // a pointer is down in this section
  #visible = ""; // the code that is shown
  #choose;

  /** `token()` is the one that this tab connected with. */
  constructor(traffic, token) {
    this.#traffic = traffic;
    this.#token = token;
    this.#choose = makeTabs($("code-tabs"), $("code"), LANGUAGES, (index) => {
      this.#language = index;
      this.#code();
    });
    this.#holdWhilePressed($("frames").parentElement);
  }

  show(room) {
    this.#room = `room:${room}`;
    this.#chosen = null;
    this.#choose(this.#language);
    this.draw();
  }

  /** Draw soon: in a busy room frames come faster than anybody reads. */
  draw() {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = null;
      // A click that is under way must find at its end what it began on, and in the same place.
      if (this.#pressed) return;
      this.#list();
      this.#code();
    }, EVERY);
  }

  #holdWhilePressed(section) {
    const release = () => {
      if (!this.#pressed) return;
      this.#pressed = false;
      this.draw();
    };
    section.addEventListener("pointerdown", () => (this.#pressed = true));
    for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, release);
  }

  count({ sent, received, got, missing, twice }) {
    $("count").textContent = `${sent} sent ${sent === received ? "=" : "≠"} ${received} received`;
    $("count").dataset.equal = String(sent === received);
    $("count-all").textContent = `${got} ${got === 1 ? "message" : "messages"} in this room: ${missing} missing, ${twice} twice`;
  }

  #list() {
    const list = $("frames");
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.number : null;
    list.replaceChildren(...this.#traffic.rows.slice(-SHOWN).reverse().map((row) => this.#row(row)));
    if (focused) list.querySelector(`[data-number="${focused}"]`)?.focus();
  }

  #row(row) {
    const { number, way, type, channel, frame, ms } = row;
    const choose = () => {
      this.#chosen = row;
      this.#list();
      this.#code();
    };
    const detail = ms === null ? "" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
    return h(
      "li",
      {},
      h(
        "button",
        { type: "button", class: "frame", "data-number": number, "aria-pressed": String(this.#chosen?.number === number), title: JSON.stringify(frame).slice(0, 1000), onclick: choose },
        h("span", { class: `way ${way}` }, way === "sent" ? "sent" : "got"),
        h("b", {}, type),
        h("span", { class: "what" }, shown(frame, channel)),
        h("span", { class: "took" }, detail),
      ),
    );
  }

  #code() {
    const row = this.#chosen ?? this.#traffic.rows.findLast(({ way, type }) => way === "sent" && type === "publish");
    const publishes = row?.type === "publish";
    const of = { door: location.origin, channel: row?.channel || this.#room, data: publishes ? row.frame.data : undefined, key: publishes ? `copy-${row.frame.key ?? row.number}` : undefined };
    const language = LANGUAGES[this.#language];
    const text = (token) => snippet(language, { ...of, token });
    const visible = text(short(this.#token() ?? ""));
    // Frames come all the time. Replaced, the button would lose its focus, its word "Copied", and a click that is under way.
    if (visible === this.#visible) return;
    this.#visible = visible;
    const what = publishes ? `To publish this in ${of.channel}` : `To listen to ${of.channel}`;
    // The copy works as it is, with the token of this tab; what is shown may be filmed.
    const head = h("div", { class: "caption" }, h("span", {}, what), copyButton(() => text(this.#token() ?? "")));
    $("code").replaceChildren(h("div", { class: "code" }, head, h("pre", { tabindex: "0" }, h("code", {}, visible))));
  }
}

function shown({ data, message, user, from }, channel) {
  const what = data === undefined ? (message ?? user ?? "") : JSON.stringify(data);
  return [channel, from, what].filter(Boolean).join(" ").slice(0, 120);
}
