// The page: sign in, connect, show a room and notifications.

import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Credentials, SignInError } from "./credentials.js";
import { $, copyButton } from "./dom.js";
import { Notifications } from "./notifications.js";
import { TryIt } from "./tryit.js";
import { Welcome, room as roomName } from "./welcome.js";

const TOPIC = "notify:demo";
const RECENT = 10; // notifications from before that the list begins with
const TITLE = document.title;

const notifications = new Notifications();
const tryIt = new TryIt();
const welcome = new Welcome(enter);
let session = null; // {credentials, connection, conversation}

function enter(credentials, room) {
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
  const connection = new Connection(address, credentials);
  const conversation = new Conversation(connection, { status, unread });
  session = { credentials, connection, conversation, returns: 0, recovered: 0 };
  conversation.me = credentials.user;
  follow(connection);
  welcome.hide();
  $("chat").hidden = false;
  location.hash = `room=${room}`;
  goTo(room);
  connection.subscribe(TOPIC, { last: RECENT });
  connection.open();
  $("composer-text").focus();
}

function leave(message = "") {
  session?.connection.close();
  session?.conversation.stop();
  session = null;
  Credentials.forget();
  notifications.forget();
  $("chat").hidden = true;
  unread(0);
  welcome.show({ room: roomInAddress() || "lobby", message });
}

function goTo(room) {
  session.conversation.enter(room);
  $("room-name").textContent = room;
  $("room-field").value = room;
  tryIt.show({ room, user: session.credentials.user });
  document.title = `#${room} · Openline`;
}

function roomInAddress() {
  const [, name = ""] = location.hash.match(/[#&]room=([^&]*)/) ?? [];
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a lone %: no room, which is what comes of it
  }
}

/** `work` with a room's name; where it cannot be one, `refused` with the reason: never another room. */
function withRoom(name, work, refused) {
  let room;
  try {
    room = roomName(name);
  } catch (error) {
    if (!(error instanceof SignInError)) throw error;
    refused(error.message);
    return;
  }
  work(room);
}

function refuseRoom(name, reason) {
  const field = $("room-field");
  field.value = name;
  field.setCustomValidity(reason);
  field.reportValidity();
}

// ---- the connection

function follow(connection) {
  connection
    .on("state", (event) => connection === session?.connection && showState(event))
    .on("answering", () => connection === session?.connection && showState({ state: connection.state }))
    .on("connected", connected)
    .on("ended", ({ code, text }) => (code === 4001 || code === 4005) && leave(text))
    .on("message", (event) => source(event.channel) && notifications.show(event, source(event.channel)))
    .on("direct", (event) => notifications.show(event, "To this connection"))
    .on("lost", ({ channel, reason }) => source(channel) && lost(channel, reason))
    .on("refused", ({ channel, error }) => source(channel) && lost(channel, error.message));
}

/** What a notification's channel is called on the page; undefined for the room. */
function source(channel = "") {
  if (channel.startsWith("user:")) return "For you";
  if (channel.startsWith("public:")) return "For everybody";
  return channel.startsWith("notify:") ? channel : undefined;
}

function lost(channel, reason) {
  const data = { title: "Notifications may be missing", message: `${channel}: ${reason}`, level: "warning" };
  notifications.show({ data, ts: Date.now() }, source(channel));
}

function connected({ node, connection, user }) {
  session.returns += 1;
  tryIt.show({ room: session.conversation.room.name, user });
  $("me").textContent = user;
  $("fact-node").textContent = node;
  $("fact-connection").textContent = connection;
  $("fact-returns").textContent = session.returns - 1;
}

const STATES = {
  connecting: () => "Connecting",
  online: () => "Connected",
  silent: () => "Waiting for an answer",
  waiting: ({ seconds }) => (seconds < 1.5 ? "Reconnecting" : `Reconnecting in ${Math.round(seconds)} s`),
  ended: () => "Disconnected",
  idle: () => "Disconnected",
};

function showState(event) {
  const { text } = event;
  // The gateway is there at once; whether a message would be answered turns out a moment later.
  const unsure = event.state === "online" && !session.connection.answering;
  const state = unsure ? "silent" : event.state;
  $("state").dataset.state = state;
  $("state-text").textContent = STATES[state](event);
  $("banner").hidden = state !== "ended";
  $("banner-text").textContent = text ?? "";
}

function status({ offset, recovered }) {
  if (offset !== undefined) $("fact-offset").textContent = offset;
  if (recovered) session.recovered += recovered;
  $("fact-recovered").textContent = session.recovered;
}

// ---- what waits to be read

let waiting = 0;

function unread(change = 1) {
  waiting = document.hidden ? waiting + change : 0;
  const room = session?.conversation.room?.name;
  document.title = `${waiting ? `(${waiting}) ` : ""}${room ? `#${room} · Openline` : TITLE}`;
}

document.addEventListener("visibilitychange", () => unread(0));

// ---- the rest of the page

for (const toggle of document.querySelectorAll("[data-panel]")) {
  toggle.addEventListener("click", () => {
    const panel = $(toggle.dataset.panel);
    const open = panel.classList.toggle("open");
    for (const other of document.querySelectorAll("[data-panel]")) {
      const its = $(other.dataset.panel);
      if (other !== toggle) its.classList.remove("open");
      other.setAttribute("aria-expanded", String(its.classList.contains("open")));
    }
    if (open && toggle.dataset.panel === "aside") notifications.seen();
  });
}

$("share").append(copyButton(() => location.href, "Copy link", "Link copied"));
$("sign-out").addEventListener("click", () => leave());
$("again").addEventListener("click", () => session?.connection.open());
for (const look of ["pointerenter", "focusin"]) $("aside").addEventListener(look, () => notifications.seen());
// As a link it would change the address, which names the room.
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("composer-text").focus();
});
$("switch").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("room-field").value;
  const go = (room) => {
    location.hash = `room=${room}`;
    $("composer-text").focus();
  };
  withRoom(name, go, (reason) => refuseRoom(name, reason));
});
$("room-field").addEventListener("input", () => $("room-field").setCustomValidity(""));
window.addEventListener("hashchange", () => {
  const name = roomInAddress();
  if (!session) {
    $("room").value = name || "lobby";
    return;
  }
  withRoom(name, goTo, (reason) => {
    history.replaceState(null, "", `#room=${session.conversation.room.name}`);
    refuseRoom(name, reason);
  });
});

const restored = Credentials.restore();
const asked = roomInAddress();
if (restored) withRoom(asked, (room) => enter(restored, room), (message) => welcome.show({ room: asked, message }));
else welcome.show({ room: asked || "lobby" });
