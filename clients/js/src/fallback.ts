import type { Frame, Transport } from "./types.js";

/** What one request may carry; the server takes 100 and 65,536 bytes, the secret and the brackets included. */
const COMMANDS = 100;
const BYTES = 65_000;

const bytes = new TextEncoder();

const plain = (_: string, value: unknown): unknown => {
  if (ArrayBuffer.isView(value)) throw new TypeError("bytes cannot be sent over HTTP: encode them as text");
  return value;
};

/** What MessagePack would have given: bytes as bytes. */
const restore = (event: Frame): void => {
  for (const message of event.messages ?? [event])
    if (message.encoding === "base64") {
      message.data = Uint8Array.from(atob(message.data), (character) => character.charCodeAt(0));
      delete message.encoding;
    }
};

/**
 * A line over HTTP, for networks that block WebSocket: a stream of events, and commands by requests of their own.
 *
 * `fetch` and not EventSource, so that status and `Retry-After` are seen and no token is in an address.
 */
export const stream: Transport = ({ url, codec, fetch = globalThis.fetch }, on) => {
  const controller = new AbortController();
  const { signal } = controller;
  const queue: { text: string; size: number; id: unknown }[] = [];
  let path = "/sse";
  let secret: string | undefined;
  let busy = true; // one request at a time, or commands change places
  let timer: ReturnType<typeof setTimeout> | undefined;

  const end = (code: number, reason: string, retryAfter?: number): void => {
    if (signal.aborted) return;
    close();
    on.closed(code, reason, retryAfter);
  };
  const close = (): void => {
    clearTimeout(timer);
    controller.abort();
  };
  const batch = () => {
    let count = 0;
    for (let size = 0; count < Math.min(queue.length, COMMANDS); count++) {
      size += queue[count]!.size;
      if (count && size > BYTES) break;
    }
    return queue.splice(0, count);
  };
  const post = async (commands: typeof queue) => {
    const body = `{${secret ? `"secret":${JSON.stringify(secret)},` : ""}"commands":[${commands.map(({ text }) => text)}]}`;
    const headers = { "content-type": "application/json" };
    const answer = await fetch(url + path, { method: "POST", headers, body, signal, cache: "no-store" });
    return { status: answer.status, stream: answer.body, retryAfter: Number.parseFloat(answer.headers.get("retry-after")!) || undefined };
  };
  // Without the error's own text: what JSON.parse throws quotes the frame, and this reason is logged.
  const gone = (): void => end(1006, "no readable answer over HTTP");

  const flush = (): unknown => attempt().catch(gone);
  const attempt = async (): Promise<void> => {
    if (busy || !queue.length || signal.aborted) return;
    busy = true;
    const commands = batch();
    const { status, stream, retryAfter = 1 } = await post(commands);
    stream?.cancel().catch(() => {});
    if (signal.aborted) return;
    if (status === 429) queue.unshift(...commands);
    else if (status === 413 && commands.length === 1)
      on.event({ type: "error", id: commands[0]!.id, code: "too_large", message: "over HTTP, 64 KiB are the most" });
    else if (status >= 300) return end(status === 503 ? 4104 : 1006, `status ${status} over HTTP`, retryAfter);
    timer = setTimeout(
      () => {
        busy = false;
        flush();
      },
      status === 429 ? retryAfter * 1000 : 0,
    );
  };

  const receive = (event: Frame): void => {
    if (event.type === "closing") return end(event.code, event.reason);
    if (event.type === "connected") {
      path += `/${event.connection}`;
      secret = event.secret;
      delete event.secret;
      busy = false;
    }
    if (codec.binary) restore(event);
    on.event(event);
    if (!busy) flush();
  };

  const run = async (): Promise<void> => {
    await null; // nothing is told from inside the call that opens
    if (signal.aborted) return;
    on.open();
    const { status, stream, retryAfter } = await post(batch());
    if (status >= 300 || !stream) {
      const code = status === 401 || status === 403 ? 4001 : status === 429 || status === 503 ? 4104 : 1006;
      return end(code, `status ${status} over HTTP`, retryAfter);
    }
    const reader = stream.getReader();
    const text = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return end(1006, "the stream was cut off");
      const lines = (rest + text.decode(value, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith("data:") && !signal.aborted) receive(JSON.parse(line.slice(5)));
    }
  };
  run().catch(gone);

  return {
    send(command) {
      const text = JSON.stringify(command, plain);
      queue.push({ text, size: bytes.encode(text).length + 1, id: command.id });
      queueMicrotask(flush);
    },
    close,
  };
};
