// Notifications: each appears for a moment, and stays in the list.

import { $, clock, h } from "./dom.js";

const SHOWN = 7_000;
const TOASTS = 4;
const KEPT = 50;
const LEVELS = { info: "i", success: "✓", warning: "!", error: "×" };

export class Notifications {
  constructor() {
    this.list = $("notifications");
    this.toasts = $("toasts");
    this.unread = 0;
    $("clear").addEventListener("click", () => this.#clear());
  }

  /** Show a publication. `source` says where it came from: Broadcast, For you, a topic. What is `earlier` is only listed. */
  show({ data, ts, earlier = false }, source) {
    const note = describe(data);
    this.list.prepend(entry(note, ts, source));
    while (this.list.childElementCount > KEPT) this.list.lastChild.remove();
    this.#empty();
    if (earlier) return;
    this.#count(this.unread + 1);
    this.#toast(note, source);
  }

  /** A user signs out: their notifications are not for the next user. */
  forget() {
    this.#clear();
    this.toasts.replaceChildren();
    this.seen();
  }

  /** The list has been looked at. */
  seen() {
    this.#count(0);
  }

  #toast(note, source) {
    const element = entry(note, null, source);
    element.classList.add("toast");
    const away = () => element.remove();
    element.append(h("button", { type: "button", class: "close", "aria-label": "Dismiss", onclick: away }, "×"));
    let timer = setTimeout(away, SHOWN);
    element.addEventListener("pointerenter", () => clearTimeout(timer));
    element.addEventListener("pointerleave", () => (timer = setTimeout(away, SHOWN / 2)));
    this.toasts.append(element);
    while (this.toasts.childElementCount > TOASTS) this.toasts.firstChild.remove();
  }

  #count(unread) {
    this.unread = unread;
    for (const badge of document.querySelectorAll("[data-notifications]")) badge.textContent = unread || "";
  }

  #clear() {
    this.list.replaceChildren();
    this.#empty();
  }

  #empty() {
    const none = this.list.childElementCount === 0;
    $("no-notifications").hidden = !none;
    $("clear").hidden = none;
  }
}

/** What a publication says, whatever its shape. */
function describe(data) {
  if (data === null || typeof data !== "object") return { title: String(data), message: "", level: "info" };
  const { title, message, text, level } = data;
  const words = [title, message, text].filter((word) => typeof word === "string" && word);
  const [head = "Notification", ...rest] = words;
  const body = words.length ? rest.join(" ") : JSON.stringify(data);
  return { title: head, message: body, level: Object.hasOwn(LEVELS, level) ? level : "info" };
}

function entry({ title, message, level }, ts, source) {
  return h(
    "li",
    { class: `note ${level}` },
    h("span", { class: "mark", "aria-hidden": "true" }, LEVELS[level]),
    h(
      "div",
      { class: "body" },
      h("b", {}, title),
      message ? h("p", {}, message) : null,
      h("small", {}, level === "info" ? source : `${level} · ${source}`, ts === null ? "" : ` · ${clock(ts)}`),
    ),
  );
}
