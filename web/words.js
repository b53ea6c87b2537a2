// What the page says of the end of a connection.

const WORDS = {
  4000: "The server could not make sense of what this page sent.",
  4001: "The sign-in is not valid any more.",
  4003: "This is not allowed for you.",
  4004: "The server ended this connection.",
  4005: "The sign-in was revoked.",
  4006: "Too many connections are open already.",
};

/** `error` is the client's, with the close code and the server's reason. */
export function ending({ code, close, message }) {
  if (close === undefined) return code === "unauthorized" ? message : "The connection was lost.";
  const text = WORDS[close] ?? "The connection was lost.";
  const reason = message === `closed with ${close}` || close === 1000 ? "" : message;
  return reason ? `${text} (${reason})` : text;
}

/** Whether the sign-in is over: connecting again would not help. */
export function signedOut({ code, close }) {
  return close === 4001 || close === 4005 || (close === undefined && code === "unauthorized");
}
