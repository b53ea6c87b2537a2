// Broadcast with Socket.IO over its WebSocket transport alone.
const { createServer } = require("http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false });

io.on("connection", (socket) => {
  socket.on("message", (message) => io.emit("message", message));
});

http.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 2048 });
