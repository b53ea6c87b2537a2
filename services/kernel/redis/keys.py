"""How every Redis key is spelled. All keys of a partition share its hash tag, so a script never leaves its slot."""

from __future__ import annotations

from zlib import crc32


def partition(name: str, partitions: int) -> int:
    """The partition of a channel or user: the same in every process and version."""
    return crc32(name.encode()) % partitions if partitions > 1 else 0


def layout() -> str:
    """String: the number of partitions this data was laid out for."""
    return "ol:{p0}:layout"


def connection(partition: int) -> str:
    """The name that a server knows the partition's connections by, in CLIENT LIST."""
    return f"openline-p{partition}"


class Keys:
    """The keys of one partition."""

    def __init__(self, partition: int) -> None:
        self._tag = tag = f"ol:{{p{partition}}}:"
        # hash {fleet, number, of, layout, state, move}: whose partition this is; homes.State
        self.home = tag + "home"
        # hash {id, replid, full, quiet, seal, seal_until}: the history record
        self.record = tag + "history"
        self.bus = tag + "bus"  # stream 0-1, 0-2, ...; scripts keep a hash beside it, bus:marks
        self.leases = tag + "leases"  # ZSET incarnation -> ms of its last beat
        self.ending = tag + "ending"  # set of incarnations being reaped
        self.nodes = tag + "nodes"  # hash incarnation -> what the node told of itself
        self.grace = tag + "grace"  # exists while nobody may be reaped
        self.births = tag + "births"  # hash incarnation -> history id at its first beat
        self.channels = tag + "channels"  # ZSET of channels that have subscribers, by name
        self.revoked = (
            tag + "revoked"
        )  # ZSET revocation -> seconds since 1970 at which it ends; partition 0 only
        self.revoking = (
            tag + "revoking"
        )  # stream of the newest revocations {revocation: end}; partition 0 only

        self.mover = tag + "mover"  # string: who moves the partition to this server
        self.every = tag + "*"  # the pattern of all of them
        self.probe = tag + "probe"  # stream that exists within a check
        self.guard = tag + "guard"  # never exists: see redirects.Guard

    def head(self, channel: str) -> str:
        """Hash {epoch, offset, began, history}."""
        return f"{self._tag}head:{channel}"

    def log(self, channel: str) -> str:
        """Stream; an entry's id is `<offset>-0`."""
        return f"{self._tag}log:{channel}"

    def listeners(self, channel: str) -> str:
        """Hash incarnation -> subscribers."""
        return f"{self._tag}listeners:{channel}"

    def members(self, channel: str) -> str:
        """Hash connection -> member (MessagePack)."""
        return f"{self._tag}members:{channel}"

    def order(self, channel: str) -> str:
        """ZSET of members' connections, by name."""
        return f"{self._tag}order:{channel}"

    def users(self, channel: str) -> str:
        """Hash user -> connections."""
        return f"{self._tag}users:{channel}"

    def lingering(self, channel: str) -> str:
        """ZSET of `user NUL connection`, by name."""
        return f"{self._tag}lingering:{channel}"

    def held(self, incarnation: str) -> str:
        """Set of `channel connection`: the members of an incarnation."""
        return f"{self._tag}held:{incarnation}"

    def heard(self, incarnation: str) -> str:
        """Set of the channels that an incarnation has subscribers in."""
        return f"{self._tag}heard:{incarnation}"

    def seen(self, channel: str, key: str) -> str:
        """String `epoch offset`: where the publication with this idempotency key went."""
        return f"{self._tag}seen:{channel} {key}"

    def ticket(self, digest: str) -> str:
        """String: the token that a ticket stands for, by the ticket's digest; partition 0 only."""
        return f"{self._tag}ticket:{digest}"

    def bucket(self, user: str) -> str:
        """Hash {left, at}: a user's token bucket."""
        return f"{self._tag}bucket:{user}"
