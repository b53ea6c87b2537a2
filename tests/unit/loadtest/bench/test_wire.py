"""Packets of the loopback."""

from __future__ import annotations

import socket
import struct

import pytest

from loadtest.bench import wire
from loadtest.bench.payload import now
from loadtest.bench.targets import AbsentError
from loadtest.bench.wire import Packet, Wire


def frame(payload, *, kind=b"\x08\x00", protocol=6, ip_options=b"", tcp_options=b""):
    tcp = struct.pack("!HHIIBB", 1234, 80, 0, 0, (20 + len(tcp_options)) // 4 << 4, 0x18)
    tcp = tcp.ljust(20, b"\0") + tcp_options
    ip = bytes([0x40 | (20 + len(ip_options)) // 4]) + bytes(8) + bytes([protocol]) + bytes(10)
    return bytes(12) + kind + ip + ip_options + tcp + payload


@pytest.mark.parametrize("options", [{}, {"ip_options": bytes(8)}, {"tcp_options": bytes(12)}])
def test_what_tcp_carries_is_found_behind_its_headers(options):
    assert wire._tcp(7.0, frame(b"hello", **options)) == Packet(7.0, 1234, 80, b"hello")


@pytest.mark.parametrize("other", [{"kind": b"\x86\xdd"}, {"protocol": 17}])
def test_what_is_no_tcp_over_ipv4_is_passed_by(other):
    assert wire._tcp(7.0, frame(b"hello", **other)) is None


def test_who_may_not_listen_is_told_what_it_takes(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(wire.socket, "socket", refuse)
    with pytest.raises(AbsentError, match="CAP_NET_RAW"):
        Wire()


@pytest.mark.server
def test_what_passes_is_kept_once_and_with_its_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            try:
                listening = Wire()
            except AbsentError as error:
                pytest.skip(str(error))
            ports = client.getsockname()[1], server.getsockname()[1]
            before = now()
            for letter in (b"a", b"b"):
                client.sendall(letter * 200)
                server.recv(200)
            client.sendall(b"short")  # no message is as short as this
            after = now()
            packets = [packet for packet in listening.stop() if ports == packet[1:3]]
    assert [packet.data for packet in packets] == [b"a" * 200, b"b" * 200]
    # Between two clocks that do not tick as one there may be some microseconds.
    assert before - 1000 <= packets[0].at <= packets[1].at <= after + 1000
