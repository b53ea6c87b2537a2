// Who is in the room.

import { $, avatar, h } from "./dom.js";
import { readable } from "./names.js";

/** `people`: `[{user, connections}]`; `count`: all connections, more than those listed in a large room. */
export function showPeople(people, { me, count, typists }) {
  const list = $("people");
  list.replaceChildren(...people.map((person) => row(person, { me, types: typists.includes(person.user) })));
  const listed = people.reduce((sum, { connections }) => sum + connections, 0);
  $("more-people").textContent = count > listed ? `and ${count - listed} more` : "";
  for (const badge of document.querySelectorAll("[data-people]")) badge.textContent = people.length || "";
  const alone = people.length === 1 && people[0].user === me;
  $("alone").hidden = !alone;
}

function row({ user, connections }, { me, types }) {
  const details = [];
  if (types) details.push("typing");
  if (connections > 1) details.push(`${connections} tabs`);
  const mark = user === me ? h("span", { class: "tag" }, "you") : null;
  const detail = details.length ? h("span", { class: "detail" }, details.join(", ")) : null;
  return h("li", { "data-user": user ?? "" }, avatar(readable(user)), h("span", { class: "name" }, readable(user) ?? "somebody"), mark, detail);
}
