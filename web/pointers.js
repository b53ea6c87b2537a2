// The pointers of others over the conversation. For the eye alone: whoever does not see them misses nothing that was said.

import { $, h, hue } from "./dom.js";
import { readable } from "./names.js";

export class Pointers {
  #shown = new Map(); // tab -> element

  /** `tabs`: `[{tab, user, at}]`. */
  show(tabs) {
    const pointing = tabs.filter(({ at }) => at);
    const gone = new Set(this.#shown.keys());
    for (const { tab, user, at } of pointing) {
      gone.delete(tab);
      const element = this.#shown.get(tab) ?? this.#add(tab, user);
      element.style.setProperty("--x", at[0]);
      element.style.setProperty("--y", at[1]);
    }
    for (const tab of gone) {
      this.#shown.get(tab).remove();
      this.#shown.delete(tab);
    }
  }

  #add(tab, user) {
    const element = h("div", { class: "pointer", "data-user": user }, h("span", {}, readable(user)));
    element.style.setProperty("--hue", hue(readable(user)));
    this.#shown.set(tab, element);
    $("pointers").append(element);
    return element;
  }
}

/** Call `pointed` with `[x, y]` in parts of the element's size while a pointer is over it, null when it has left. */
export function watchPointer(element, pointed) {
  element.addEventListener("pointermove", ({ clientX, clientY }) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const part = (place, size) => Math.min(1, Math.max(0, Math.round((place / size) * 1000) / 1000));
    pointed([part(clientX - left, width), part(clientY - top, height)]);
  });
  element.addEventListener("pointerleave", () => pointed(null));
}
