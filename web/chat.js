// The conversation on screen: messages, notices between them, who types, and the box to write in.

import { $, avatar, clock, h } from "./dom.js";
import { readable } from "./names.js";

const TOGETHER = 5 * 60_000; // messages of one sender so close in time share a name
const TYPING_EVERY = 1_500; // the server passes on one a second
const MAX_TEXT = 4_000;

export class Chat {
  /** `send(text)`, `typing()`, `retry(key)` and `discard(key)` are what a person does here. */
  constructor({ send, typing, retry, discard }) {
    this.actions = { retry, discard };
    this.log = $("messages");
    this.pending = $("pending");
    this.scroller = $("scroller");
    this.form = $("composer");
    this.text = $("composer-text");
    this.newer = $("newer");
    this.last = null;
    this.unseen = 0;
    this.typedAt = 0;
    this.ending = new AbortController();
    this.#write(send, typing);
    this.#listen(this.newer, "click", () => this.#toEnd());
    this.#listen(this.scroller, "scroll", () => this.#atEnd() && this.#seen());
    this.resizing = new ResizeObserver(() => this.unseen || this.#toEnd());
    this.resizing.observe(this.scroller);
  }

  stop() {
    this.ending.abort();
    clearTimeout(this.typingLater);
    this.resizing.disconnect();
  }

  #listen(element, event, listener) {
    element.addEventListener(event, listener, { signal: this.ending.signal });
  }

  #write(send, typing) {
    this.#listen(this.form, "submit", (event) => {
      event.preventDefault();
      const text = this.text.value.trim().slice(0, MAX_TEXT);
      if (!text) return;
      this.text.value = "";
      this.#fit();
      send(text);
      this.#toEnd();
    });
    this.#listen(this.text, "keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.#listen(this.text, "input", () => {
      this.#fit();
      this.#types(typing);
    });
  }

  /** Say so at once, then again while it goes on; a stroke that came too soon is made up for. */
  #types(typing) {
    clearTimeout(this.typingLater);
    if (!this.text.value) return;
    const wait = this.typedAt + TYPING_EVERY - Date.now();
    if (wait > 0) {
      this.typingLater = setTimeout(() => this.#types(typing), wait);
    } else {
      this.typedAt = Date.now();
      typing();
    }
  }

  /** Grow with the text, up to what the style allows. */
  #fit() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight}px`;
  }

  // ---- messages

  /** Draw everything again. */
  reset(messages, me) {
    this.last = null;
    this.log.replaceChildren(...messages.map((message) => this.#row(message, me)));
    this.#empty();
    this.#toEnd();
  }

  add(message, me) {
    const atEnd = this.#atEnd();
    this.log.append(this.#row(message, me));
    this.#empty();
    if (atEnd || (message.from === me && !message.notice)) this.#toEnd();
    else if (!message.notice) this.#newer();
  }

  #row(message, me) {
    const { from, ts, notice, kind } = message;
    if (notice) {
      this.last = null;
      return h("li", { class: `notice ${kind}` }, h("span", {}, notice));
    }
    const mine = from !== undefined && from === me;
    const follows = this.last && this.last.from === from && ts - this.last.ts < TOGETHER;
    this.last = message;
    const name = readable(from) ?? (from === null ? "somebody" : "your back end");
    const head = h("div", { class: "head" }, h("b", {}, mine ? "You" : name), " ", time(ts));
    return h(
      "li",
      { class: `message${mine ? " mine" : ""}${follows ? " follows" : ""}`, "data-offset": message.offset },
      mine ? null : avatar(from === undefined ? "⇄" : name),
      h("div", { class: "said" }, head, bubble(message)),
    );
  }

  /** Messages on their way, below the others. */
  waiting(messages) {
    const atEnd = this.#atEnd();
    this.pending.replaceChildren(...messages.map((message) => this.#waitingRow(message)));
    this.#empty();
    if (atEnd) this.#toEnd();
  }

  #waitingRow(message) {
    const failed = message.state === "failed";
    const state = failed
      ? h(
          "div",
          { class: "state failed" },
          `Not sent. ${message.reason} `,
          h("button", { type: "button", class: "link", onclick: () => this.actions.retry(message.key) }, "Try again"),
          " ",
          h("button", { type: "button", class: "link", onclick: () => this.actions.discard(message.key) }, "Discard"),
        )
      : h("div", { class: "state" }, message.state === "waiting" ? "Waits for the connection" : "Sending");
    return h(
      "li",
      { class: `message mine ${failed ? "failed" : "underway"}` },
      h("div", { class: "said" }, bubble(message), state),
    );
  }

  typing(users) {
    const [one, two] = users;
    const text =
      users.length === 0
        ? ""
        : users.length === 1
          ? `${one} is typing`
          : users.length === 2
            ? `${one} and ${two} are typing`
            : `${users.length} people are typing`;
    const line = $("typing");
    if (line.dataset.text === text) return;
    line.dataset.text = text;
    const dots = h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
    line.replaceChildren(...(text ? [dots, text] : []));
  }

  writable(yes, hint) {
    this.text.disabled = !yes;
    $("send").disabled = !yes;
    this.text.placeholder = hint;
  }

  // ---- where the reader is

  #empty() {
    $("empty").hidden = this.log.childElementCount + this.pending.childElementCount > 0;
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < 60;
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.#seen();
  }

  #newer() {
    this.unseen += 1;
    this.newer.textContent = `${this.unseen} new ${this.unseen === 1 ? "message" : "messages"} ↓`;
    this.newer.hidden = false;
  }

  #seen() {
    this.unseen = 0;
    this.newer.hidden = true;
  }
}

function time(ts) {
  return h("time", { datetime: new Date(ts).toISOString() }, clock(ts));
}

function bubble({ data, encoding }) {
  if (encoding === "base64") return h("div", { class: "bubble quiet" }, `${Math.floor((data.length * 3) / 4)} bytes of binary data`);
  const text = typeof data === "string" ? data : data?.text;
  if (typeof text === "string") return h("div", { class: "bubble" }, text);
  return h("pre", { class: "bubble" }, JSON.stringify(data, null, 2));
}
