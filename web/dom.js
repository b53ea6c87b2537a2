// Building and finding elements. Text goes in as text, never as markup: it comes from strangers.

export const $ = (id) => document.getElementById(id);

/** An element: `h("p", {class: "note", onclick: work}, "text", child)`. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A round picture for a name: its first letter on a colour of its own. */
export function avatar(name) {
  const element = h("span", { class: "avatar", "aria-hidden": "true" }, name ? Array.from(name)[0].toUpperCase() : "·");
  element.style.setProperty("--hue", hue(name ?? ""));
  return element;
}

/** Degrees on the colour wheel, far apart for names that are close (FNV-1a). */
export function hue(name) {
  let hash = 0x811c9dc5;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  return (hash >>> 8) % 360;
}

/** The time of day, with the day when that is not today. */
export function clock(milliseconds) {
  const time = new Date(milliseconds);
  const day = time.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  return time.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
}

/** A button that copies what `text()` gives and says so for a moment. */
export function copyButton(text, label = "Copy", done = "Copied") {
  const button = h("button", { type: "button", class: "button small" }, label);
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.textContent = copied ? done : "Press Ctrl+C";
    setTimeout(() => (button.textContent = label), 1800);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Browsers have the clipboard on https and on this machine only; elsewhere the older way.
    const area = h("textarea", { class: "offscreen", readonly: true, "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}
