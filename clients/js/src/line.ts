import type { Codec, Transport } from "./types.js";

export const json: Codec = {
  subprotocol: "openline.json.v1",
  binary: false,
  encode: JSON.stringify,
  decode: (data) => JSON.parse(data as string),
};

/** A line over WebSocket. Whoever opens it hears no more of it once it is closed. */
export const websocket: Transport = ({ url, codec, WebSocket: Socket = globalThis.WebSocket }, on) => {
  const socket = new Socket(`${url.replace(/^http/, "ws")}/ws`, codec.subprotocol);
  socket.binaryType = "arraybuffer";
  socket.onopen = on.open;
  socket.onerror = () => {}; // `onclose` follows, and says as much; `ws` throws without a listener
  socket.onmessage = ({ data }) => {
    let frame;
    try {
      frame = codec.decode(data);
    } catch {
      return on.closed(1006, "a frame that cannot be read");
    }
    on.event(frame);
  };
  socket.onclose = ({ code, reason }) => on.closed(code, reason);
  return {
    send: (command) => socket.readyState === 1 && socket.send(codec.encode(command)),
    close(code, reason) {
      try {
        socket.close(code, reason);
      } catch {
        socket.close(4000); // browsers let a page say 1000 or 3000-4999
      }
    },
  };
};
