// The strip of gateways, and who of the room is on which.

import { $, avatar, h } from "./dom.js";
import { readable } from "./names.js";

const SHOWN = 6; // people of a gateway; the rest is a number

export class Gateways {
  #up = new Map(); // name -> whether it is up, as far as the server says
  #drawn = "";

  /** What the server says of them: `[{name, up}]`. */
  know(gateways) {
    for (const { name, up } of gateways) this.#up.set(name, up);
    this.#drawn = "";
  }

  /** `tabs`: `[{user, node}]` of the others; `mine`: the gateway of this tab, whose user is `me`. */
  show(tabs, { me, mine }) {
    const on = new Map([...this.#up.keys()].map((name) => [name, new Set()]));
    const put = (name, user) => name && on.set(name, (on.get(name) ?? new Set()).add(user));
    put(mine, me);
    for (const { node, user } of tabs) put(node, user);
    const rows = [...on].sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true }));
    const drawn = JSON.stringify([rows.map(([name, users]) => [name, this.#up.get(name), ...users]), me, mine]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    $("gateways").replaceChildren(...rows.map(([name, users]) => this.#row(name, [...users], { me, mine })));
  }

  #row(name, users, { me, mine }) {
    const down = this.#up.get(name) === false;
    const people = users.sort((a, b) => (b === me) - (a === me) || String(a).localeCompare(String(b)));
    const faces = people.slice(0, SHOWN).map((user) => face(user, user === me));
    const more = people.length > SHOWN ? h("span", { class: "quiet" }, `+${people.length - SHOWN}`) : null;
    const state = down ? h("span", { class: "quiet" }, "restarting") : people.length ? null : h("span", { class: "quiet" }, "nobody of this room");
    return h(
      "li",
      { class: `gateway${name === mine ? " mine" : ""}${down ? " down" : ""}`, "data-gateway": name },
      h("b", {}, name),
      ...faces,
      more,
      state,
    );
  }
}

function face(user, me) {
  return h("span", { class: "face", "data-user": user }, avatar(readable(user)), h("span", { class: "name" }, me ? "you" : readable(user)));
}
