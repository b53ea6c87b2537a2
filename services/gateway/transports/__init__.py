"""How clients reach the gateway: WebSocket handshakes, Server-Sent Events, the echo route."""
