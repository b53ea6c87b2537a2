// What a close code asks of a client: its range says whether to come back, and how.

const STAY_RFC = new Set([1000, 1003, 1007, 1008, 1009]);

const WORDS = {
  4000: "The server could not make sense of what this page sent.",
  4001: "The sign-in is not valid any more.",
  4003: "This is not allowed for you.",
  4004: "The server ended this connection.",
  4005: "The sign-in was revoked.",
  4006: "Too many connections are open already.",
  4100: "This gateway is draining.",
  4101: "This page could not keep up.",
  4102: "The heartbeat was lost.",
  4104: "The gateway has too much to do, or too many connections are open just now.",
  4200: "The token has expired.",
};

/** What to do: `{action: "stay" | "retry" | "renew", wait, text}`; `wait` in seconds is the least time to stay away. */
export function afterClose(code, reason) {
  const text = WORDS[code] ?? "The connection was lost.";
  if (STAY_RFC.has(code) || (code >= 4000 && code < 4100)) {
    return { action: "stay", wait: 0, text: reason && code !== 1000 ? `${text} (${reason})` : text };
  }
  if (code >= 4200 && code < 4300) return { action: "renew", wait: 0, text };
  const seconds = code === 4100 ? Number.parseFloat(reason) : 0;
  return { action: "retry", wait: Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 60) : 0, text };
}
