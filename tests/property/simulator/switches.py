"""Each rule of hub and reader switched off, so that tests can show that the simulator finds out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from services.gateway.hub import pages
from services.gateway.hub.bus_cursor import BusCursor
from services.gateway.hub.channel import Channel
from services.gateway.hub.hub import Hub
from services.gateway.hub.waiter import Waiter
from services.kernel.broker.port import Entry, Look, Looked
from services.kernel.domain.publications import Publication
from tests.property.simulator.client import Client
from tests.property.simulator.store import Store


@contextmanager
def epochs_are_not_compared() -> Iterator[None]:
    """Rule 1: entries are judged by their offset alone, as if they were of the epoch the channel is in."""
    entries = Hub.entries

    def blind(hub: Hub, entry: Entry) -> Entry:
        publication, channel = entry.publication, hub._channels.get(entry.channel)
        if publication is None or channel is None or not channel.epoch:
            return entry
        same = Publication(
            epoch=channel.epoch, offset=publication.offset, data=publication.data, meta=b""
        )
        return Entry(entry.id, entry.type, entry.channel, same)

    def patched(hub: Hub, generation: int, found: Sequence[Entry], now: float) -> None:
        for entry in found:
            entries(hub, generation, [blind(hub, entry)], now)

    with patch.object(Hub, "entries", patched):
        yield


@contextmanager
def looks_are_not_fenced() -> Iterator[None]:
    """Rule 2: looks answer with whatever head they find."""
    with patch.object(Store, "fenced", False):
        yield


@contextmanager
def every_reply_counts() -> Iterator[None]:
    """Rule 3: replies of another history, or of a moment before the reader's, are merged."""
    with patch.object(Hub, "counts", lambda *_: True):
        yield


@contextmanager
def histories_of_replies_are_not_compared() -> Iterator[None]:
    """Rule 3, first half."""
    with patch.object(Hub, "counts", lambda _hub, call, reply, _: reply.bus >= call.position):
        yield


@contextmanager
def bus_ids_of_replies_are_not_compared() -> Iterator[None]:
    """Rule 3, second half."""
    with patch.object(Hub, "counts", lambda hub, _call, reply, _: reply.history == hub.history):
        yield


@contextmanager
def nothing_is_buffered() -> Iterator[None]:
    """Rule 4, first half: entries that come while a look is pending are dropped."""
    with patch.object(Channel, "_buffer_up", lambda *_: None):
        yield


@contextmanager
def overflows_are_forgotten() -> Iterator[None]:
    """Rule 4, second half: what did not fit into the buffer is not looked for."""
    with patch.object(Channel, "overflowed", lambda _: False):
        yield


@contextmanager
def pages_are_not_checked() -> Iterator[None]:
    """Rule 5: a page is taken for what follows, wherever it starts."""
    with patch.object(pages, "continues_from", lambda *_: True):
        yield


@contextmanager
def resets_lead_to_the_head() -> Iterator[None]:
    """Beside the rules: whoever loses continuity goes on at the end of the log, past what survived."""

    def patched(self: Channel, reply: Looked, _look: Look) -> bool:
        self._move_to(reply, reply.offset)
        self._tell_reset("epoch")
        return True

    with patch.object(Channel, "_change_epoch", patched):
        yield


@contextmanager
def beats_are_not_compared() -> Iterator[None]:
    """Rule 6: a beat's reply is taken to be of the history that is read."""
    with patch.object(BusCursor, "confirmed", lambda *_: True):
        yield


@contextmanager
def idle_channels_are_kept() -> Iterator[None]:
    """Rule 7, first half: a channel that nobody wants survives a new position."""
    recompare = Hub.recompare

    def patched(hub: Hub, channel: Channel) -> None:
        if channel.wanted:
            recompare(hub, channel)

    with patch.object(Hub, "forget_idle", lambda _: None), patch.object(Hub, "recompare", patched):
        yield


@contextmanager
def looks_under_way_go_on() -> Iterator[None]:
    """Rule 7, second half: a look that began before the new position was taken is merged."""

    def patched(_hub: Hub, channel: Channel) -> None:
        if channel.looking is None:
            channel.doubt()
        channel.live = False

    with patch.object(Hub, "recompare", patched):
        yield


@contextmanager
def newcomers_join_at_once() -> Iterator[None]:
    """Beside the rules: who has no position joins where this node is, though the log may have gone on."""
    with patch.object(Waiter, "may_join", lambda *_: True):
        yield


@contextmanager
def slow_clients_are_forgotten() -> Iterator[None]:
    """Rule 9: a slow client that drains is told nothing of what it missed."""

    def drain(client: Client) -> None:
        client.stalled = False

    with patch.object(Client, "drain", drain):
        yield


SWITCHES: dict[str, Callable[[], object]] = {
    switch.__name__: switch
    for switch in (
        epochs_are_not_compared,
        looks_are_not_fenced,
        every_reply_counts,
        histories_of_replies_are_not_compared,
        bus_ids_of_replies_are_not_compared,
        nothing_is_buffered,
        overflows_are_forgotten,
        pages_are_not_checked,
        resets_lead_to_the_head,
        beats_are_not_compared,
        idle_channels_are_kept,
        looks_under_way_go_on,
        newcomers_join_at_once,
        slow_clients_are_forgotten,
    )
}
