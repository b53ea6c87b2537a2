// The first thing a newcomer sees: choose a name and a room.

import { Credentials, SignInError } from "./credentials.js";
import { $ } from "./dom.js";
import { readable, spell } from "./names.js";

const ADJECTIVES = ["quiet", "bright", "gentle", "swift", "amber", "lucky", "mellow", "brave", "sunny", "clever"];
const ANIMALS = ["otter", "heron", "fox", "panda", "lynx", "robin", "whale", "badger", "finch", "gecko"];

export class Welcome {
  /** `enter(credentials, room)` continues when a user is signed in. */
  constructor(enter) {
    this.enter = enter;
    $("name").value = suggestion();
    $("name").addEventListener("input", () => this.#hint());
    $("another").addEventListener("click", () => {
      $("name").value = suggestion();
      this.#hint();
      $("name").focus();
    });
    this.#form("join", () => this.#register());
    this.#form("login", () => Credentials.login($("username").value.trim(), $("password").value));
    this.#form("paste", () => Credentials.paste($("token").value.trim()));
    this.#hint();
  }

  show({ room, message = "" }) {
    $("welcome").hidden = false;
    $("room").value = readable(room);
    this.#say(message);
    if (matchMedia("(min-width: 60rem)").matches) $("name").focus();
  }

  hide() {
    $("welcome").hidden = true;
    $("password").value = "";
    $("token").value = "";
  }

  #form(id, work) {
    const form = $(id);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.#say("");
      this.#busy(form, true);
      try {
        const name = room($("room").value); // before anybody is registered for nothing
        this.enter(await work(), name);
      } catch (error) {
        if (!(error instanceof SignInError)) throw error;
        this.#refused(error);
      } finally {
        this.#busy(form, false);
      }
    });
  }

  async #register() {
    const user = slug($("name").value);
    if (user.length < 3) {
      throw new SignInError("invalid", "A name has 3 to 64 letters, digits, dots, hyphens or underscores.");
    }
    return Credentials.register(user);
  }

  #refused(error) {
    if (error.kind === "taken") {
      const user = slug($("name").value);
      const taken = readable(user);
      $("name").value = `${Array.from(taken).slice(0, 60).join("")}-${10 + Math.floor(90 * Math.random())}`;
      this.#hint();
      this.#say(`“${taken}” is taken. How about “${$("name").value}”? If it is yours, sign in with its password below.`);
      $("name").select();
      return;
    }
    if (error.kind === "closed" || error.kind === "unsupported") $("other-ways").open = true;
    this.#say(error.message);
  }

  #hint() {
    const name = $("name").value;
    const user = readable(slug(name));
    $("name-hint").textContent = user && user !== name.normalize("NFC") ? `Others will see you as ${user}` : "";
  }

  #say(message) {
    $("sign-in-message").textContent = message;
    $("sign-in-message").hidden = !message;
  }

  #busy(form, busy) {
    form.setAttribute("aria-busy", String(busy));
    for (const button of form.querySelectorAll("button")) button.disabled = busy;
  }
}

/** A name of any script as a user's name may be spelt. */
export function slug(name) {
  const plain = name.normalize("NFC").toLowerCase().trim();
  const letters = Array.from(plain.replace(/\s+/g, "-").replace(/[^\p{L}\p{M}\p{N}._-]/gu, ""));
  while (spell(letters.join("")).length > 64) letters.pop();
  return spell(letters.join(""));
}

/** The room that a person means: `lobby` where none is named. Throws SignInError for what no channel can be called. */
export function room(name) {
  const meant = name.trim().replace(/\s+/g, "-") || "lobby";
  const spelt = spell(meant);
  if (!/[\p{C}\p{Z}]/u.test(meant) && /^[A-Za-z0-9_.:@|=+-]{1,200}$/.test(spelt)) return spelt;
  throw new SignInError("invalid", `A room's name has 1 to 200 letters and digits of any script and _ . : @ | = + -, which “${shown(meant)}” has not.`);
}

function shown(name) {
  const characters = [...name];
  return characters.length > 40 ? `${characters.slice(0, 40).join("")}…` : name;
}

function suggestion() {
  const [one, two] = crypto.getRandomValues(new Uint32Array(2));
  return `${ADJECTIVES[one % ADJECTIVES.length]}-${ANIMALS[two % ANIMALS.length]}`;
}
