// A chart that is fed two hundred messages a second, drawn once a frame.

import { $ } from "./dom.js";
import { order } from "./demo.js";

const CHANNEL = "live:demo";
const KEPT = 600; // values: three seconds
const ASK = 15_000; // the feed ends 30 s after it was asked for

export class Chart {
  #client = null;
  #ending = null;
  #values = [];
  #fresh = []; // milliseconds on the way, of what came since the last second
  #skipped = 0;
  #drawing = false;

  get running() {
    return this.#ending !== null;
  }

  /** Ask for the feed and draw it, until `stop`. */
  start(client) {
    this.stop();
    this.#client = client;
    this.#ending = new AbortController();
    this.#values = [];
    this.#skipped = 0;
    const { signal } = this.#ending;
    const channel = this.#client.channel(CHANNEL);
    channel.on("lost", () => {}, { signal }); // the newest value is all that counts
    channel.subscribe((message) => this.#take(message), { signal });
    this.#ask();
    const asking = setInterval(() => document.hidden || this.#ask(), ASK);
    const counting = setInterval(() => this.#count(), 1000);
    signal.addEventListener("abort", () => {
      clearInterval(asking);
      clearInterval(counting);
    });
    this.#button();
  }

  stop() {
    this.#ending?.abort();
    this.#ending = null;
    this.#button();
  }

  async #ask() {
    const refused = await order("feed");
    if (refused) $("chart-said").textContent = `No feed: ${refused}.`;
  }

  #take({ data, skipped = 0 }) {
    if (typeof data?.value !== "number") return;
    this.#skipped += skipped;
    this.#values.push(data.value);
    if (this.#values.length > KEPT) this.#values.shift();
    this.#fresh.push(Date.now() - data.sent);
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #count() {
    const fresh = this.#fresh.sort((a, b) => a - b);
    this.#fresh = [];
    const middle = fresh[fresh.length >> 1];
    $("chart-said").textContent = fresh.length
      ? `${fresh.length} messages a second, ${Math.max(0, Math.round(middle))} ms from your back end to here, ${this.#skipped} skipped`
      : "Waiting for the first value";
  }

  #draw() {
    const canvas = $("chart");
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.lineWidth = 1.5 * ratio;
    pen.lineJoin = "round";
    pen.beginPath();
    this.#values.forEach((value, index) => {
      const x = width - ((this.#values.length - index) / KEPT) * width;
      pen.lineTo(x, height - (value / 100) * height);
    });
    pen.stroke();
  }

  #button() {
    $("chart-toggle").textContent = this.running ? "Stop" : "Start 200 messages a second";
  }
}
