"""What passes this machine's loopback, with the kernel's time of each packet: no process that is measured knows of it."""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from typing import NamedTuple

from loadtest.bench.targets import AbsentError

_ROOM = 256 << 20
"""Bytes of packets that wait until they are looked at, since looking would take the processors from what is measured."""
_LARGEST = 65_600
_TIMESPEC = struct.Struct("qq")
_ETHERNET = 14
# From linux/if_ether.h, asm-generic/socket.h and linux/if_packet.h, which Python does not name.
_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
# Packets that leave (each comes back as one that arrives) and that can hold a message; the fields are those of
# struct sock_filter: code, jump if true, jump if false, value.
_FILTER = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x80, 0, 0, 0),  # load the length
        (0x35, 0, 3, 120),  # at least so many bytes?
        (0x20, 0, 0, 0xFFFF_F004),  # load the direction
        (0x15, 0, 1, 4),  # PACKET_OUTGOING?
        (0x06, 0, 0, _LARGEST),  # take it
        (0x06, 0, 0, 0),  # pass it by
    )
)


class Packet(NamedTuple):
    """TCP bytes on their way. `at`: microseconds of `payload.now`."""

    at: float
    source: int
    destination: int
    data: bytes


class Wire:
    """Keeps what passes from when it is made. Raises AbsentError where this user may not listen to a network device."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except (AttributeError, PermissionError) as error:
            raise AbsentError(
                "packets of the loopback cannot be read (Linux, as root or with CAP_NET_RAW)"
            ) from error
        steps = ctypes.create_string_buffer(_FILTER)
        size = struct.calcsize("HBBI")
        program = struct.pack("HL", len(_FILTER) // size, ctypes.addressof(steps))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        except PermissionError:  # CAP_NET_ADMIN as well
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._socket.bind(("lo", _ETH_P_ALL))
        self._socket.setblocking(False)

    def stop(self) -> list[Packet]:
        """What has passed, in order. Raises OSError when some of it was lost."""
        # Stamps are of the clock that is set; how far it is from the one that is not may change, but not in seconds.
        ahead = (time.time_ns() - time.monotonic_ns()) / 1000
        packets: list[Packet] = []
        with self._socket as kept:
            counted = kept.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            if struct.unpack("II", counted)[1]:
                raise OSError("packets passed faster than they could be kept")
            while True:
                try:
                    data, control, _, _ = kept.recvmsg(_LARGEST, socket.CMSG_SPACE(_TIMESPEC.size))
                except BlockingIOError:
                    return packets
                seconds, nanoseconds = _TIMESPEC.unpack(control[0][2])
                packet = _tcp(seconds * 1e6 + nanoseconds / 1000 - ahead, data)
                if packet is not None:
                    packets.append(packet)


def _tcp(at: float, frame: bytes) -> Packet | None:
    """The packet in an Ethernet frame; None when it is not TCP over IPv4 (RFC 791, RFC 9293)."""
    ip = frame[_ETHERNET:]
    if frame[12:14] != b"\x08\x00" or ip[9] != socket.IPPROTO_TCP:
        return None
    tcp = ip[(ip[0] & 15) * 4 :]
    source, destination = struct.unpack_from("!HH", tcp)
    return Packet(at, source, destination, tcp[(tcp[12] >> 4) * 4 :])
