"""What every broker does with logs and heads: publish, look, open, history, drop."""

from __future__ import annotations

import pytest

from services.kernel.broker.port import (
    PAGE,
    PAGE_BYTES,
    Broker,
    Draft,
    EntryType,
    Look,
    Looked,
    Published,
    Stale,
)
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind
from tests.contract.steps import beat, draft, expect_error, head, look, publish, publish_one, texts


class LogContract:
    """Needs the fixtures `broker`, `age` and `pass_hour`."""

    async def test_offsets_count_from_one_within_an_epoch(self, broker: Broker) -> None:
        results = await publish(broker, "room:a", "1", "2", "3")
        assert [result.offset for result in results] == [1, 2, 3]
        assert len({result.epoch for result in results}) == 1
        assert not any(result.duplicate for result in results)

    async def test_channels_count_apart_in_one_call(self, broker: Broker) -> None:
        results = await broker.publish([draft("room:a"), draft("room:b"), draft("room:a")])
        assert [getattr(result, "offset", None) for result in results] == [1, 1, 2]

    async def test_publishing_nothing_answers_nothing(self, broker: Broker) -> None:
        assert await broker.publish([]) == []

    async def test_a_publication_comes_back_as_it_went(self, broker: Broker) -> None:
        raw = bytes(range(256))
        sent = Draft(
            channel="room:a",
            data=raw,
            meta=b'"from":"bob","ts":1',
            kind=Kind.BINARY,
            token="c1.7",
        )
        await broker.publish([sent])
        (entry,) = await broker.read(0, 0)
        found = (await look(broker, "room:a", last=1)).publications[0]
        page = await broker.history("room:a", since=None, limit=1, reverse=False)
        for publication in (entry.publication, found, page.publications[0]):
            assert publication is not None
            assert publication == found
            assert (publication.data, publication.meta) == (raw, sent.meta)
            assert (publication.kind, publication.token) == (Kind.BINARY, "c1.7")

    async def test_the_same_key_stores_once(self, broker: Broker) -> None:
        first = await publish_one(broker, draft("room:a", "x", key="bob k"))
        await publish(broker, "room:a", "y")
        second = await publish_one(broker, draft("room:a", "x", key="bob k"))
        assert second == Published(first.epoch, first.offset, duplicate=True)
        assert (await head(broker, "room:a")).offset == 2

    async def test_the_same_key_twice_in_one_call_stores_once(self, broker: Broker) -> None:
        results = await broker.publish([draft("room:a", key="k"), draft("room:a", key="k")])
        assert [getattr(result, "duplicate", None) for result in results] == [False, True]
        assert (await head(broker, "room:a")).offset == 1

    async def test_keys_are_scoped_by_channel(self, broker: Broker) -> None:
        results = await broker.publish([draft("room:a", key="k"), draft("room:b", key="k")])
        assert [getattr(result, "duplicate", None) for result in results] == [False, False]

    async def test_a_key_that_was_refused_is_not_remembered(self, broker: Broker) -> None:
        wrong = draft("room:a", "x", key="k", expect=Position("other", 3))
        expect_error((await broker.publish([wrong]))[0], Code.CONFLICT)
        assert not (await publish_one(broker, draft("room:a", "x", key="k"))).duplicate

    async def test_expect_stores_at_the_head_only(self, broker: Broker) -> None:
        (first,) = await publish(broker, "room:a", "1")
        here = Position(first.epoch, 1)
        stored = await publish_one(broker, draft("room:a", "2", expect=here))
        assert stored.offset == 2
        (refused,) = await broker.publish([draft("room:a", "3", expect=here)])
        error = expect_error(refused, Code.CONFLICT)
        assert error.position == (first.epoch, 2)
        assert (await head(broker, "room:a")).offset == 2

    async def test_a_conflict_in_a_new_channel_names_its_position(self, broker: Broker) -> None:
        (refused,) = await broker.publish([draft("room:a", expect=Position("e", 0))])
        epoch, offset = expect_error(refused, Code.CONFLICT).position or ("", -1)
        assert offset == 0
        stored = await publish_one(broker, draft("room:a", expect=Position(epoch, 0)))
        assert (stored.epoch, stored.offset) == (epoch, 1)

    async def test_an_ephemeral_message_is_on_the_bus_only(self, broker: Broker) -> None:
        (first,) = await publish(broker, "room:a", "1")
        sent = await publish_one(broker, draft("room:a", "now", ephemeral=True))
        assert sent.offset == 0
        entry = (await broker.read(0, 1))[0]
        assert entry.type is EntryType.EPHEMERAL
        assert entry.publication is not None
        assert (entry.publication.offset, entry.publication.epoch) == (0, first.epoch)
        assert (await head(broker, "room:a")).offset == 1

    async def test_an_ephemeral_message_makes_no_history(self, broker: Broker) -> None:
        sent = await publish_one(broker, draft("room:a", "now", ephemeral=True))
        assert (sent.epoch, sent.offset) == ("", 0)
        assert await broker.look(0, [Look("room:a")]) == [Stale()]

    async def test_an_ephemeral_key_sends_once(self, broker: Broker) -> None:
        twice = [draft("room:a", "now", ephemeral=True, key="k")] * 2
        results = await broker.publish(twice)
        assert [getattr(result, "duplicate", None) for result in results] == [False, True]
        assert len(await broker.read(0, 0)) == 1

    async def test_history_keeps_the_newest(self, broker: Broker) -> None:
        await broker.publish([draft("room:a", str(n), history_size=3) for n in range(5)])
        page = await broker.history("room:a", since=None, limit=10, reverse=False)
        assert texts(page.publications) == ["2", "3", "4"]
        assert (page.offset, page.more) == (5, False)

    @pytest.mark.parametrize("at_once", [1, 3, 64, 200])
    async def test_history_holds_so_many_bytes(self, broker: Broker, at_once: int) -> None:
        """Exactly the newest that together have no more: of data, and of metadata, which has six bytes here."""
        drafts = [draft("room:a", "x" * (n * 7 % 97), history_bytes=1000) for n in range(200)]
        for start in range(0, len(drafts), at_once):
            await broker.publish(drafts[start : start + at_once])
            expected, held = [], 0
            for sent in reversed(drafts[: start + at_once]):
                held += len(sent.data) + len(sent.meta)
                if held > 1000:
                    break
                expected.append(len(sent.data))
            page = await broker.history("room:a", since=None, limit=200, reverse=True)
            assert [len(kept.data) for kept in page.publications] == expected

    async def test_the_newest_message_stays_whatever_its_size(self, broker: Broker) -> None:
        for size in (5, 500, 5):
            await broker.publish([draft("room:a", "x" * size, history_bytes=100)])
            page = await broker.history("room:a", since=None, limit=10, reverse=False)
            assert [len(kept.data) for kept in page.publications] == [size]
            assert (page.offset, page.more) == (page.publications[0].offset, False)

    async def test_bytes_and_size_bound_a_history_together(self, broker: Broker) -> None:
        sizes = [90, 1, 1, 1, 90, 90, 1, 1, 1, 1, 1]
        kept = [1, 2, 3, 3, 3, 1, 2, 3, 3, 3, 3]
        for size, count in zip(sizes, kept, strict=True):
            options = {"history_size": 3, "history_bytes": 120}
            await broker.publish([draft("room:a", "x" * size, **options)])
            looked = await look(broker, "room:a", last=10)
            assert len(looked.publications) == count, size

    async def test_a_smaller_budget_holds_from_the_next_message_on(self, broker: Broker) -> None:
        await broker.publish([draft("room:a", "x" * 94) for _ in range(20)])
        await broker.publish([draft("room:a", "x" * 94, history_bytes=500)])
        assert len((await look(broker, "room:a", last=50)).publications) == 5
        await broker.drop("room:a")
        await broker.publish([draft("room:a", "x" * 94, history_bytes=500) for _ in range(4)])
        assert len((await look(broker, "room:a", last=50)).publications) == 4

    async def test_a_history_of_size_nothing_still_counts(self, broker: Broker) -> None:
        await publish(broker, "room:a", "kept")
        await broker.publish([draft("room:a", "gone", history_size=0)])
        await broker.publish([draft("room:a", "kept")])
        looked = await look(broker, "room:a", last=10)
        assert (looked.offset, texts(looked.publications)) == (3, ["kept"])

    async def test_a_log_dies_and_its_head_lives_on(self, broker: Broker, age) -> None:
        (first,) = await broker.publish([draft("room:a", history_ttl=100)])
        assert isinstance(first, Published)
        await age(111)  # a tenth longer at the most, and some
        looked = await look(broker, "room:a", since=(Position(first.epoch, 0),), last=5)
        assert (looked.epoch, looked.offset, looked.start) == (first.epoch, 1, 1)
        assert looked.publications == ()
        second = await publish_one(broker, draft("room:a"))
        assert (second.epoch, second.offset) == (first.epoch, 2)

    async def test_each_publication_prolongs_the_log(self, broker: Broker, age) -> None:
        await broker.publish([draft("room:a", "1", history_ttl=100)])
        await age(60)
        await broker.publish([draft("room:a", "2", history_ttl=100)])
        await age(60)
        assert len((await look(broker, "room:a", last=5)).publications) == 2

    async def test_a_look_at_the_head_brings_no_publications(self, broker: Broker) -> None:
        (stored,) = await publish(broker, "room:a", "1")
        looked = await look(broker, "room:a")
        assert (looked.epoch, looked.offset, looked.began) == (stored.epoch, 1, 0)
        assert (looked.start, looked.publications, looked.bus) == (1, (), 1)

    async def test_a_look_reaches_back_to_the_lowest_position(self, broker: Broker) -> None:
        stored = await publish(broker, "room:a", *"12345")
        since = tuple(Position(stored[0].epoch, offset) for offset in (4, 2, 3))
        looked = await look(broker, "room:a", since=since)
        assert (looked.start, texts(looked.publications)) == (2, ["3", "4", "5"])

    async def test_a_look_passes_over_what_cannot_be_served(self, broker: Broker) -> None:
        await broker.publish([draft("room:a", str(n), history_size=3) for n in range(5)])
        epoch = (await head(broker, "room:a")).epoch
        since = (Position("other", 2), Position(epoch, 1), Position(epoch, 9), Position(epoch, 3))
        looked = await look(broker, "room:a", since=since)
        assert (looked.start, texts(looked.publications)) == (3, ["3", "4"])
        oldest = await look(broker, "room:a", since=(Position(epoch, 2),))
        assert (oldest.start, len(oldest.publications)) == (2, 3)

    async def test_last_reaches_back_as_far_as_the_log(self, broker: Broker) -> None:
        await broker.publish([draft("room:a", str(n), history_size=3) for n in range(5)])
        assert texts((await look(broker, "room:a", last=2)).publications) == ["3", "4"]
        far = await look(broker, "room:a", last=50)
        assert (far.start, texts(far.publications)) == (2, ["2", "3", "4"])

    async def test_last_and_since_reach_back_together(self, broker: Broker) -> None:
        stored = await publish(broker, "room:a", *"12345")
        since = (Position(stored[0].epoch, 1),)
        assert (await look(broker, "room:a", since=since, last=2)).start == 1
        assert (await look(broker, "room:a", since=since, last=5)).start == 0

    async def test_a_look_is_paged_by_number(self, broker: Broker) -> None:
        await broker.publish([draft("room:a", str(n)) for n in range(PAGE + 5)])
        first = await look(broker, "room:a", last=PAGE + 5)
        assert (first.start, len(first.publications)) == (0, PAGE)
        rest = await look(broker, "room:a", since=(Position(first.epoch, PAGE),))
        assert [p.offset for p in rest.publications] == [PAGE + n for n in range(1, 6)]

    async def test_a_look_is_paged_by_bytes_but_serves_one(self, broker: Broker) -> None:
        big = b"x" * (PAGE_BYTES // 2)
        await broker.publish([Draft(channel="room:a", data=big, meta=b"") for _ in range(3)])
        await broker.publish([Draft(channel="room:a", data=big * 3, meta=b"")])
        looked = await look(broker, "room:a", last=4)
        assert [p.offset for p in looked.publications] == [1, 2]
        (last,) = (await look(broker, "room:a", last=1)).publications
        assert len(last.data) == len(big) * 3

    async def test_a_look_at_an_unknown_channel_is_stale(self, broker: Broker) -> None:
        await publish(broker, "room:a", "1")
        looked, stale = await broker.look(0, [Look("room:a"), Look("room:b", last=3)])
        assert isinstance(looked, Looked)
        assert stale == Stale()

    async def test_open_gives_a_channel_its_epoch(self, broker: Broker) -> None:
        await broker.open("room:a", "Epoch1")
        looked = await head(broker, "room:a")
        assert (looked.epoch, looked.offset, looked.began) == ("Epoch1", 0, 0)
        await broker.open("room:a", "Epoch2")
        assert (await head(broker, "room:a")).epoch == "Epoch1"
        (stored,) = await publish(broker, "room:a", "1")
        assert (stored.epoch, stored.offset) == ("Epoch1", 1)

    async def test_a_look_with_an_epoch_opens_what_is_stale_in_the_same_call(
        self, broker: Broker
    ) -> None:
        await publish(broker, "room:a", "1", "2")
        was = await head(broker, "room:a")
        here = Position(was.epoch, 1)
        looked, opened = await broker.look(
            0, [Look("room:a", (here,), epoch="Epoch1"), Look("room:b", epoch="Epoch2")]
        )
        assert isinstance(looked, Looked)
        assert isinstance(opened, Looked)
        assert (looked.epoch, looked.offset, texts(looked.publications)) == (was.epoch, 2, ["2"])
        assert (opened.epoch, opened.offset, opened.history) == ("Epoch2", 0, looked.history)
        assert (await head(broker, "room:b")).epoch == "Epoch2"

    async def test_a_channel_in_which_nothing_was_published_is_forgotten_after_an_hour(
        self, broker: Broker, pass_hour
    ) -> None:
        """A stranger makes one with each name that it thinks of."""
        await broker.open("room:a", "Epoch1")
        await broker.history("room:b", since=None, limit=1, reverse=False)
        refused = (await broker.publish([draft("room:c", expect=Position("e", 0))]))[0]
        expect_error(refused, Code.CONFLICT)
        await publish(broker, "room:d", "1")
        await broker.open("room:e", "Epoch1")
        await publish(broker, "room:e", "1")
        await pass_hour()
        names = [f"room:{letter}" for letter in "abcde"]
        looks = await broker.look(0, [Look(name) for name in names])
        assert [isinstance(looked, Looked) for looked in looks] == [False] * 3 + [True] * 2

    async def test_listeners_keep_a_channel_in_which_nothing_was_published(
        self, broker: Broker, pass_hour
    ) -> None:
        await beat(broker, "i1")
        for name in ("room:a", "room:b"):
            await broker.open(name, "Epoch1")
        await broker.listeners("i1", {"room:a": 1, "room:b": 1, "room:none": 1})
        for _ in range(3):
            await pass_hour(0.6)
            await broker.listeners("i1", {"room:a": 2, "room:b": 0})
        looked, *gone = await broker.look(0, [Look(f"room:{n}") for n in ("a", "b", "none")])
        assert isinstance(looked, Looked)
        assert looked.epoch == "Epoch1"
        assert gone == [Stale(), Stale()]

    async def test_history_pages_forward(self, broker: Broker) -> None:
        stored = await publish(broker, "room:a", *"12345")
        first = await broker.history("room:a", since=None, limit=2, reverse=False)
        assert (texts(first.publications), first.more, first.offset) == (["1", "2"], True, 5)
        since = Position(stored[0].epoch, 2)
        rest = await broker.history("room:a", since=since, limit=3, reverse=False)
        assert (texts(rest.publications), rest.more) == (["3", "4", "5"], False)

    async def test_history_pages_backward(self, broker: Broker) -> None:
        stored = await publish(broker, "room:a", *"12345")
        first = await broker.history("room:a", since=None, limit=2, reverse=True)
        assert (texts(first.publications), first.more) == (["5", "4"], True)
        since = Position(stored[0].epoch, 4)
        rest = await broker.history("room:a", since=since, limit=3, reverse=True)
        assert (texts(rest.publications), rest.more) == (["3", "2", "1"], False)

    async def test_history_of_a_new_channel_is_empty(self, broker: Broker) -> None:
        page = await broker.history("room:a", since=None, limit=2, reverse=False)
        assert (page.offset, page.publications, page.more) == (0, (), False)
        assert page.epoch == (await head(broker, "room:a")).epoch

    async def test_history_since_another_epoch_is_a_conflict(self, broker: Broker) -> None:
        (stored,) = await publish(broker, "room:a", "1")
        for reverse in (False, True):
            with pytest.raises(OpenlineError) as caught:
                await broker.history("room:a", since=Position("other", 1), limit=2, reverse=reverse)
            assert caught.value.code is Code.CONFLICT
            assert caught.value.position == (stored.epoch, 1)

    async def test_a_page_of_history_is_bounded_by_bytes(self, broker: Broker) -> None:
        big = b"x" * 600_000
        await broker.publish([Draft(channel="room:a", data=big, meta=b"") for _ in range(3)])
        page = await broker.history("room:a", since=None, limit=3, reverse=True)
        assert ([p.offset for p in page.publications], page.more) == ([3], True)

    async def test_drop_begins_an_epoch_and_counts_on(self, broker: Broker) -> None:
        (stored,) = await publish(broker, "room:a", "1")
        position = await broker.drop("room:a")
        assert position.epoch != stored.epoch
        assert position.offset == 1
        looked = await look(broker, "room:a", since=(Position(stored.epoch, 0),), last=5)
        assert (looked.epoch, looked.offset, looked.began) == (position.epoch, 1, 1)
        assert looked.publications == ()
        nudge = (await broker.read(0, 1))[0]
        assert nudge.type is EntryType.NUDGE
        assert nudge.channel == "room:a"
        assert nudge.publication is not None
        assert (nudge.publication.epoch, nudge.publication.offset) == position
        assert nudge.publication.data == b""
        assert (await publish(broker, "room:a", "2"))[0].offset == 2

    async def test_a_reader_of_another_epoch_resumes_where_the_new_one_began(
        self, broker: Broker
    ) -> None:
        (first,) = await publish(broker, "room:a", "1")
        await broker.drop("room:a")
        (stored, *_) = await publish(broker, "room:a", "2", "3")
        former = Position(first.epoch, 9)
        resumed = await look(broker, "room:a", since=(former,), resume=True)
        assert (resumed.start, resumed.began) == (1, 1)
        assert texts(resumed.publications) == ["2", "3"]
        here = await look(broker, "room:a", since=(Position(stored.epoch, 2),), resume=True)
        assert texts(here.publications) == ["3"]

    async def test_a_reader_of_another_epoch_resumes_at_the_oldest_where_the_log_was_trimmed(
        self, broker: Broker
    ) -> None:
        (first,) = await publish(broker, "room:a", "1")
        await broker.drop("room:a")
        await broker.publish([draft("room:a", text, history_size=2) for text in "23456"])
        former = (Position(first.epoch, 1),)
        resumed = await look(broker, "room:a", since=former, resume=True)
        assert (resumed.start, resumed.began) == (4, 1)
        assert texts(resumed.publications) == ["5", "6"]
        passed_over = await look(broker, "room:a", since=former)
        assert (passed_over.start, passed_over.publications) == (6, ())

    async def test_dropping_an_unknown_channel_opens_it(self, broker: Broker) -> None:
        position = await broker.drop("room:new")
        assert (await head(broker, "room:new")).epoch == position.epoch
        assert position.offset == 0

    async def test_calls_are_counted(self, broker: Broker) -> None:
        await publish(broker, "room:a", "1", "2")
        await look(broker, "room:a")
        assert broker.counters.calls["publish"] == 2
        assert broker.counters.calls["look"] == 1
        assert broker.counters.failures == {}
