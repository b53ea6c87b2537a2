// Who this tab is: a throwaway demo user, a user with a password, or the holder of a pasted token.

const KEY = "openline.session";
const EARLY = 10_000; // a token that ends so soon counts as ended, in milliseconds

/** `kind`: taken, closed, unsupported, refused, invalid, limited, expired or offline. `final`: only a person can help. */
export class SignInError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
    this.final = kind !== "offline" && kind !== "limited";
  }
}

export class Credentials {
  #renewing = null;

  /** `stored`: kept in this tab over a reload. */
  constructor(session, { stored = true } = {}) {
    this.session = session;
    this.stored = stored;
  }

  get user() {
    return this.session.user;
  }

  /** Make a demo user of this name with a password that is not shown. Only a server that allows it (`make run`) does. */
  static async register(user, { stored = true } = {}) {
    const known = stored ? load() : null;
    if (known?.password && known.user === user) return Credentials.login(user, known.password, { keep: true });
    const password = random(16);
    await register(user, password);
    return Credentials.login(user, password, { keep: true, stored });
  }

  /** Sign in. A password that a person typed is not kept anywhere: `keep` is for generated ones. */
  static async login(user, password, { keep = false, stored = true } = {}) {
    const credentials = new Credentials({ user, password: keep ? password : undefined }, { stored });
    await credentials.#grant({ grant_type: "password", username: user, password });
    return credentials;
  }

  /** Use a token that a back end has made. */
  static paste(token) {
    const payload = read(token);
    const credentials = new Credentials({ user: payload.sub, token, until: (payload.exp ?? Infinity) * 1000 });
    credentials.#save();
    return credentials;
  }

  /** What this tab had before a reload, or null. */
  static restore() {
    const session = load();
    return session && (session.password || session.until > Date.now()) ? new Credentials(session) : null;
  }

  static forget() {
    try {
      sessionStorage.removeItem(KEY);
    } catch {
      // Storage may be switched off; then nothing was kept.
    }
  }

  /** A valid token; `fresh` asks for a new one. Throws SignInError. */
  async token({ fresh = false } = {}) {
    const { token, until, password, refresh } = this.session;
    const renewable = password || refresh;
    // One that cannot be renewed is used to its end; when that is, the server knows best.
    if (token && !fresh && (!renewable || until > Date.now() + EARLY)) return token;
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #renew() {
    const { user, password, refresh } = this.session;
    if (password) return this.#again(user, password);
    if (refresh) return this.#grant({ grant_type: "refresh_token", refresh_token: refresh });
    throw new SignInError("expired", "The sign-in has ended. Please sign in again.");
  }

  /** A demo server that was restarted has forgotten its users: then this one registers again. */
  async #again(username, password) {
    const form = { grant_type: "password", username, password };
    try {
      return await this.#grant(form);
    } catch (error) {
      if (error.kind !== "refused") throw error;
    }
    try {
      await register(username, password);
    } catch (error) {
      if (!error.final) throw error;
      throw new SignInError("expired", "The server does not know you any more. Please choose a name again.");
    }
    return this.#grant(form);
  }

  async #grant(form) {
    const answer = await post("/auth/token", { body: new URLSearchParams(form) });
    this.session.token = answer.access_token;
    this.session.until = Date.now() + answer.expires_in * 1000;
    this.session.refresh = answer.refresh_token;
    this.#save();
    return answer.access_token;
  }

  #save() {
    if (!this.stored) return;
    // Without the refresh token: a duplicated tab has a copy of this storage, and a refresh token that is used twice
    // counts as stolen.
    const { refresh, ...kept } = this.session;
    try {
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    } catch {
      // Then a reload asks for the name again.
    }
  }
}

function register(username, password) {
  const headers = { "Content-Type": "application/json" };
  return post("/auth/register", { headers, body: JSON.stringify({ username, password }) });
}

async function post(path, request) {
  let response;
  let answer;
  try {
    response = await fetch(path, { method: "POST", ...request });
    answer = await response.json();
  } catch {
    throw new SignInError("offline", "The server does not answer. Is it running?");
  }
  if (response.ok) return answer;
  throw refusal(path, response.status, answer);
}

function refusal(path, status, answer) {
  if (status === 409) return new SignInError("taken", "That name is taken.");
  if (status === 429) {
    const wait = Math.ceil(answer.retry_after ?? 60);
    return new SignInError("limited", `Too many sign-ins from here. Try again in ${wait} s.`);
  }
  if (status >= 500) return new SignInError("offline", "The sign-in service does not answer just now.");
  if (status === 403 && path === "/auth/register") {
    return new SignInError("closed", "This server does not let people register. Sign in, or paste a token.");
  }
  if (answer.error === "unsupported_grant_type") {
    return new SignInError("unsupported", "This server takes no passwords. Paste a token from your back end.");
  }
  const reason = answer.error_description ?? answer.detail ?? `it answered ${status}`;
  return new SignInError(answer.error === "invalid_grant" ? "refused" : "invalid", sentence(reason));
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");
}

/** What a token says of itself; whether it is genuine is for the server to say. */
function read(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new SignInError("invalid", "That is not a token: it has three parts with dots between them.");
  }
}

function load() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function random(bytes) {
  const values = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(values, (value) => value.toString(16).padStart(2, "0")).join("");
}
