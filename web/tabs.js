// A row of tabs for one panel, as the keyboard expects them (WAI-ARIA, the tabs pattern).

import { h } from "./dom.js";

/** Fill `list` with tabs of these names for the panel `panel`; `chosen(index)` draws it. Gives a function that chooses one. */
export function makeTabs(list, panel, names, chosen) {
  let now = 0;
  const tabs = names.map((name, index) =>
    h("button", { type: "button", role: "tab", id: `${panel.id}-${index}`, "aria-controls": panel.id, onclick: () => choose(index) }, name),
  );
  list.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    choose((now + step + names.length) % names.length);
    tabs[now].focus();
  });
  function choose(index) {
    now = index;
    tabs.forEach((tab, place) => {
      tab.setAttribute("aria-selected", String(place === index));
      tab.tabIndex = place === index ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", tabs[index].id);
    chosen(index);
  }
  list.replaceChildren(...tabs);
  return choose;
}
