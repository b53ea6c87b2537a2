// The page: sign in, connect, show a room and notifications.

import { Answers } from "./answers.js";
import { Bot } from "./bot.js";
import { Breaks } from "./breaks.js";
import { Chart } from "./chart.js";
import { createClient, Unauthorized } from "./client.js";
import { Conversation } from "./conversation.js";
import { Credentials, SignInError } from "./credentials.js";
import { gateways, kill, offers, order } from "./demo.js";
import { $, copyButton } from "./dom.js";
import { Gateways } from "./gateways.js";
import { readable } from "./names.js";
import { Notifications } from "./notifications.js";
import { Pointers, watchPointer } from "./pointers.js";
import { Stage } from "./stage.js";
import { Traffic } from "./traffic.js";
import { TryIt } from "./tryit.js";
import { Welcome, room as roomName } from "./welcome.js";
import { Wire } from "./wire.js";
import { ending, signedOut } from "./words.js";

const TOPIC = "notify:demo";
const RECENT = 10; // notifications from before that the list begins with
const TITLE = document.title;

const notifications = new Notifications();
const traffic = new Traffic(() => wire.draw());
const wire = new Wire(traffic, () => session?.token);
const breaks = new Breaks((text) => ($("break-said").textContent = text), {
  sent: (text) => traffic.sent(text),
  got: (text) => traffic.got(text),
  began: () => session.bot?.write(),
});
const chart = new Chart();
const tryIt = new TryIt();
const strip = new Gateways();
const pointers = new Pointers();
const welcome = new Welcome(enter);
const TAB = crypto.getRandomValues(new Uint32Array(2)).join("-"); // this tab among others, its user's too
let session = null; // {credentials, client, answers, conversation, stage, ...}

function enter(credentials, room) {
  const client = createClient({ token: (ask) => token(credentials, ask), WebSocket: breaks.WebSocket });
  const answers = new Answers(client, () => conversation.channel, () => client === session?.client && online(client) && showState(client));
  const conversation = new Conversation(client, { status, unread, standing: () => answers.check(), peopled: showPlaces, counted: (tally) => wire.count(tally) });
  session = { credentials, client, answers, conversation, returns: 0, recovered: 0, listened: new Set() };
  conversation.me = credentials.user;
  follow(client);
  welcome.hide();
  $("chat").hidden = false;
  location.hash = `room=${room}`;
  goTo(room);
  listen(client.channel(TOPIC), { recent: RECENT });
  client.connect();
  $("composer-text").focus();
}

/** A token for the client, and its word for what only a person can mend. */
async function token(credentials, { reason }) {
  try {
    const token = await credentials.token({ fresh: reason !== "first" });
    if (session?.credentials === credentials) session.token = token;
    return token;
  } catch (error) {
    // One that cannot be renewed is used to its end.
    throw error.final && reason !== "renew" ? new Unauthorized(error.message, error) : error;
  }
}

function leave(message = "") {
  chart.stop();
  sendBotAway();
  session?.client.close();
  session?.answers.stop();
  session?.conversation.stop();
  session?.leaving?.abort();
  session = null;
  Credentials.forget();
  notifications.forget();
  traffic.forget();
  $("chat").hidden = true;
  unread(0);
  welcome.show({ room: roomInAddress() || "lobby", message });
}

function goTo(room) {
  session.conversation.enter(room);
  if (session.botOf !== room) sendBotAway();
  setStage(room);
  wire.show(room);
  $("room-name").textContent = readable(room);
  $("room-field").value = readable(room);
  tryIt.show({ room, user: session.credentials.user });
  document.title = `#${readable(room)} · Openline`;
}

// ---- where everybody is

function setStage(room) {
  if (session.stageOf === room) return;
  session.leaving?.abort();
  session.leaving = new AbortController();
  session.stageOf = room;
  const { client, conversation } = session;
  session.stage = new Stage(client, room, { tab: TAB, crowd: () => conversation.room?.count ?? 0, changed: showPlaces });
  session.stage.start(session.leaving.signal);
  showPlaces();
}

function showPlaces() {
  if (!session?.stage) return;
  const { stage, conversation, client } = session;
  const tabs = stage.tabs.filter(({ user }) => conversation.room.isHere(user));
  strip.show(tabs, { me: conversation.me, mine: client.connection?.node });
  pointers.show($("point").checked ? tabs : []);
}

/** Look at the gateways until all are up, or a minute has passed. */
async function watchGateways(tries = 60) {
  const found = await gateways();
  strip.know(found);
  showPlaces();
  if (tries && found.some(({ up }) => !up)) setTimeout(() => watchGateways(tries - 1), 1000);
}

// ---- somebody to talk to

async function callBot() {
  const { client, conversation } = session;
  const of = session;
  $("bot").disabled = true;
  try {
    const bot = await Bot.join({ room: conversation.room.name, avoid: client.connection?.node });
    if (session !== of) return bot.leave();
    session.bot = bot;
    session.botOf = conversation.room.name;
    $("bot-said").textContent = `${bot.user} is another user, on another gateway. It lives in this page.`;
  } catch (error) {
    if (!(error instanceof SignInError)) throw error;
    $("bot-said").textContent = error.message;
  } finally {
    $("bot").disabled = false;
    nameBotButton();
  }
}

function sendBotAway() {
  if (!session?.bot) return;
  session.bot.leave();
  session.bot = null;
  $("bot-said").textContent = "";
  nameBotButton();
}

function nameBotButton() {
  $("bot").textContent = session?.bot ? "Send the bot away" : "Have a bot join";
}

async function killMine() {
  await breaks.kill(session.client.connection.node, kill);
  watchGateways();
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

function follow(client) {
  client.on("state", (event) => {
    if (client !== session?.client) return;
    showState(event);
    if (event.state === "online") connected(client.connection);
    if (event.state === "failed" && signedOut(event.error)) leave(ending(event.error));
  });
  client.on("direct", (event) => notifications.show(event, "To this connection"));
}

/** Show what comes in a channel as notifications, after its `recent` newest of before. */
function listen(channel, { recent = 0 } = {}) {
  channel.on("lost", ({ reason }) => lost(channel.name, reason));
  channel.on("state", ({ state, error }) => {
    if (state === "failed") lost(channel.name, error.message);
    if (state !== "live") return;
    if (recent) earlier(channel, recent);
    recent = 0;
  });
  channel.subscribe((message) => notifications.show(message, source(channel.name)));
}

async function earlier(channel, limit) {
  const { offset } = channel.position;
  const { messages } = await channel.history({ limit, reverse: true }).catch(() => ({ messages: [] }));
  for (const message of messages.reverse()) {
    if (message.offset <= offset) notifications.show({ ...message, earlier: true }, source(channel.name));
  }
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

function connected({ node, connection, user, channels }) {
  if (connection === session.connection) return;
  breaks.back(node);
  session.bot?.avoid(node);
  session.connection = connection;
  session.conversation.me = user;
  session.returns += 1;
  for (const name of Object.keys(channels).filter((name) => source(name) && !session.listened.has(name))) {
    session.listened.add(name);
    listen(session.client.channel(name));
  }
  tryIt.show({ room: session.conversation.room.name, user });
  $("me").textContent = readable(user);
  $("fact-node").textContent = node;
  $("fact-connection").textContent = connection;
  $("fact-returns").textContent = session.returns - 1;
  showPlaces();
}

const STATES = {
  connecting: () => "Connecting",
  online: () => "Connected",
  silent: () => "Waiting for an answer",
  waiting: ({ wait }) => (wait < 1500 ? "Reconnecting" : `Reconnecting in ${Math.round(wait / 1000)} s`),
  ended: () => "Disconnected",
  idle: () => "Disconnected",
};

const online = ({ state }) => state === "online" || state === "moving";

const SHOWN = { moving: "online", failed: "ended" };

function showState(event) {
  const known = SHOWN[event.state] ?? event.state;
  // The gateway is there at once; whether a message would be answered turns out a moment later.
  const state = known === "online" && !session.answers.yes ? "silent" : known;
  $("state").dataset.state = state;
  $("state-text").textContent = STATES[state](event);
  $("banner").hidden = state !== "ended";
  $("banner-text").textContent = state === "ended" && event.error ? ending(event.error) : "";
}

function status({ offset, recovered, lost }) {
  breaks.settle({ recovered, lost });
  if (offset !== undefined) $("fact-offset").textContent = offset;
  if (recovered) session.recovered += recovered;
  $("fact-recovered").textContent = session.recovered;
}

// ---- what waits to be read

let waiting = 0;

function unread(change = 1) {
  waiting = document.hidden ? waiting + change : 0;
  const room = session?.conversation.room?.name;
  document.title = `${waiting ? `(${waiting}) ` : ""}${room ? `#${readable(room)} · Openline` : TITLE}`;
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
/** `work` on a line that stands; one over HTTP has no socket that we could break. */
const broken = (work, { overHttp = false } = {}) => () => {
  if (session?.client.state !== "online") $("break-said").textContent = "Wait until you are connected.";
  else if (session.client.connection.transport !== "websocket" && !overHttp) $("break-said").textContent = "Your network blocks WebSocket: over HTTP only the other buttons work.";
  else work();
};
$("break-drop").addEventListener("click", broken(() => breaks.drop()));
$("break-move").addEventListener("click", broken(() => breaks.move(session.client), { overHttp: true }));
$("break-stall").addEventListener("click", broken(() => breaks.stall()));
$("break-kill").addEventListener("click", broken(killMine, { overHttp: true }));
$("point").addEventListener("change", ({ target }) => {
  if (!target.checked) session?.stage.point(null);
  showPlaces();
});
watchPointer($("conversation"), (at) => $("point").checked && session?.stage.point(at));
$("bot").addEventListener("click", () => (session?.bot ? sendBotAway() : session && callBot()));
$("chart-toggle").addEventListener("click", () => (chart.running ? chart.stop() : session && chart.start(session.client)));
$("notify").addEventListener("click", async () => {
  const refused = await order("notifications");
  if (refused) $("no-notifications").textContent = `Not sent: ${refused}.`;
});
offers().then((offered) => {
  strip.know(offered.gateways);
  $("bot").hidden = !offered.demo;
  $("notify").hidden = $("chart-section").hidden = !offered.gateways.length;
  $("break-kill").hidden = !offered.gateways.length;
  showPlaces();
});
$("again").addEventListener("click", () => session?.client.connect());
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
