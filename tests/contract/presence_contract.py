"""What every broker does with presence: members, leases, reaping, listeners, nodes, shared buckets."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from services.kernel.broker.port import ANNOUNCED_MEMBERS, Beat, Broker, Entered, EntryType
from services.kernel.domain import channels
from services.kernel.domain.codes import Code, OpenlineError
from tests.contract.steps import LEASE, beat, draft, member, publish_one


async def told(broker: Broker) -> list[tuple[str, dict[str, object]]]:
    """Joins and leaves on the bus so far."""
    kinds = {EntryType.JOIN: "join", EntryType.LEAVE: "leave"}
    return [
        (kinds[entry.type], json.loads(b"{" + entry.fragment + b"}"))
        for entry in await broker.read(0, 0, block=0)
        if entry.type in kinds
    ]


async def enter(broker: Broker, connection: str, user: str | None = "bob", **options) -> Entered:
    """Enter room:a, announced, by incarnation i1 unless told otherwise."""
    wanted = {"channel": "room:a", "incarnation": "i1", "announce": True, **options}
    return await broker.enter(
        wanted["channel"],
        replace(member(connection, user), client=wanted.get("client", "")),
        wanted["incarnation"],
        announce=wanted["announce"],
        former=wanted.get("former", ""),
    )


async def leave(broker: Broker, connection: str, **options) -> bool:
    """Leave room:a, announced, by incarnation i1 unless told otherwise."""
    wanted = {"incarnation": "i1", "announce": True, "linger": False, **options}
    return await broker.leave(
        "room:a",
        connection,
        wanted["incarnation"],
        announce=wanted["announce"],
        linger=wanted["linger"],
    )


async def present(broker: Broker) -> tuple[list[str], int, int]:
    """Connections in room:a, and the two counts."""
    page = await broker.members("room:a", cursor=None, limit=1000)
    assert page.cursor is None
    return [m.connection for m in page.members], page.count, page.users


async def expired(broker: Broker, age, *, survivor: str) -> tuple[str, ...]:
    """Who is found dead while another goes on beating; a pause of a busy machine only delays that."""
    for _ in range(20):
        await age(LEASE / 10)
        beaten = await beat(broker, survivor)
        assert not beaten.lost
        if beaten.expired:
            return beaten.expired
    return ()


class PresenceContract:
    """Needs the fixtures `make`, `broker`, `pass_time`, `age`, `now`."""

    async def test_entering_counts_and_announces(self, broker: Broker) -> None:
        await beat(broker, "i1")
        assert await enter(broker, "c1", "bob") == Entered(1, 1)
        assert await enter(broker, "c2", "bob") == Entered(2, 1)
        assert await enter(broker, "c3", "eve") == Entered(3, 2)
        assert (await told(broker))[-1] == (
            "join",
            {
                "user": "eve",
                "connection": "c3",
                "count": 3,
                "users": 2,
                "first": True,
                "info": {"a": "é"},
            },
        )

    async def test_a_join_tells_whether_it_is_the_users_first_and_a_leave_whether_it_is_the_last(
        self, broker: Broker
    ) -> None:
        await beat(broker, "i1")
        await beat(broker, "i2")
        await enter(broker, "c1", "bob")
        await enter(broker, "c2", "bob", incarnation="i2")
        await enter(broker, "c3", None)
        await enter(broker, "c4", None)
        await leave(broker, "c3")
        await leave(broker, "c1")
        await leave(broker, "c2", incarnation="i2")
        assert [
            (event, fields["connection"], fields.get("first"), fields.get("last"))
            for event, fields in await told(broker)
        ] == [
            ("join", "c1", True, None),
            ("join", "c2", False, None),
            ("join", "c3", True, None),
            ("join", "c4", True, None),
            ("leave", "c3", None, True),
            ("leave", "c1", None, False),
            ("leave", "c2", None, True),
        ]

    async def test_who_lingers_is_still_there_for_first_and_last(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        await enter(broker, "c2")
        await leave(broker, "c1", linger=True)
        await leave(broker, "c2")
        await enter(broker, "c3")
        await leave(broker, "c3")
        assert [
            (event, fields["connection"], fields.get("first"), fields.get("last"))
            for event, fields in await told(broker)
        ] == [
            ("join", "c1", True, None),
            ("join", "c2", False, None),
            ("leave", "c2", None, False),
            ("leave", "c3", None, True),
        ]

    @pytest.mark.parametrize(
        ("info", "shown"),
        [
            (b"", None),
            (b'{"name":"Bob \xc3\xa9"}', {"name": "Bob é"}),
            (b'"%b"' % (b"x" * 1022), "x" * 1022),
            (b'"%b"' % (b"x" * 1023), None),
        ],
    )
    async def test_a_join_tells_info_that_is_small(self, broker: Broker, info, shown) -> None:
        await beat(broker, "i1")
        newcomer = replace(member("c1", "bob"), info=info)
        await broker.enter("room:a", newcomer, "i1", announce=True)
        assert (await told(broker))[0][1].get("info") == shown
        assert (await broker.members("room:a", cursor=None, limit=1)).members == (newcomer,)

    async def test_a_large_room_tells_no_info(self, broker: Broker) -> None:
        await beat(broker, "i1")
        for n in range(ANNOUNCED_MEMBERS + 1):
            await enter(broker, f"c{n}", f"u{n}")
        joins = [fields for _, fields in await told(broker)]
        assert ["info" in join for join in joins] == [True] * ANNOUNCED_MEMBERS + [False]

    async def test_each_anonymous_connection_is_a_user(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1", None)
        assert await enter(broker, "c2", None) == Entered(2, 2)
        assert (await told(broker))[0][1]["user"] is None
        page = await broker.members("room:a", cursor=None, limit=5)
        assert page.members == (member("c1", None), member("c2", None))

    async def test_entering_again_is_silent(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        assert await enter(broker, "c1") == Entered(1, 1)
        assert len(await told(broker)) == 1

    async def test_unannounced_members_enter_and_leave_in_silence(self, broker: Broker) -> None:
        await beat(broker, "i1")
        assert await enter(broker, "c1", announce=False) == Entered(1, 1)
        assert await leave(broker, "c1", announce=False)
        assert await told(broker) == []

    async def test_leaving_announces_once(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        assert await leave(broker, "c1")
        assert not await leave(broker, "c1")
        assert [event for event, _ in await told(broker)] == ["join", "leave"]
        assert await present(broker) == ([], 0, 0)

    async def test_a_user_leaves_with_the_last_connection(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        await enter(broker, "c2")
        await leave(broker, "c1")
        assert await present(broker) == (["c2"], 1, 1)

    async def test_lingering_members_count_until_they_leave(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        assert await leave(broker, "c1", linger=True)
        assert await present(broker) == (["c1"], 1, 1)
        assert [event for event, _ in await told(broker)] == ["join"]
        assert await leave(broker, "c1")
        assert [event for event, _ in await told(broker)] == ["join", "leave"]

    async def test_a_quick_return_shows_nothing(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await beat(broker, "i2")
        await enter(broker, "c1")
        await leave(broker, "c1", linger=True)
        assert await enter(broker, "c2", incarnation="i2") == Entered(1, 1, "c1")
        assert not await leave(broker, "c1")
        assert await present(broker) == (["c2"], 1, 1)
        assert [event for event, _ in await told(broker)] == ["join"]

    async def test_only_the_same_user_takes_a_lingering_place(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1", "bob")
        await enter(broker, "c2", None)
        await leave(broker, "c1", linger=True)
        await leave(broker, "c2", linger=True)
        for connection, user in (("c3", "bo"), ("c4", "bob1"), ("c5", None)):
            await enter(broker, connection, user)
        assert [event for event, _ in await told(broker)] == ["join"] * 5

    async def test_who_names_its_former_connection_takes_its_place_in_silence(
        self, broker: Broker
    ) -> None:
        await beat(broker, "dead")
        await beat(broker, "i1")
        await enter(broker, "c1", incarnation="dead")
        await enter(broker, "c2")
        assert await enter(broker, "c3", former="c1") == Entered(2, 1, "c1")
        assert not await leave(broker, "c1", incarnation="dead")
        assert await present(broker) == (["c2", "c3"], 2, 1)
        assert [event for event, _ in await told(broker)] == ["join", "join"]

    async def test_of_an_anonymous_client_the_place_is_taken_by_itself_alone(
        self, broker: Broker
    ) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1", None, client="secret")
        await leave(broker, "c1", linger=True)
        for connection, client in (("c2", ""), ("c3", "guess")):
            await enter(broker, connection, None, former="c1", client=client)
        await enter(broker, "c4", "bob", former="c1", client="secret")
        assert await present(broker) == (["c1", "c2", "c3", "c4"], 4, 4)
        assert await enter(broker, "c5", None, former="c1", client="secret") == Entered(4, 4, "c1")
        assert await present(broker) == (["c2", "c3", "c4", "c5"], 4, 4)
        assert [event for event, _ in await told(broker)] == ["join"] * 4

    async def test_a_strangers_place_is_not_taken(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1", "bob")
        await enter(broker, "c2", None)
        for connection, user, former in (
            ("c3", "eve", "c1"),
            ("c4", None, "c1"),
            ("c5", None, "c2"),
            ("c6", "eve", "c2"),
            ("c7", "bob", "c8"),
        ):
            await enter(broker, connection, user, former=former)
        assert (await present(broker))[1] == 7
        assert [event for event, _ in await told(broker)] == ["join"] * 7

    async def test_a_lingering_place_is_taken_once(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        await leave(broker, "c1", linger=True)
        await enter(broker, "c2")
        assert await enter(broker, "c3") == Entered(2, 1)
        assert [event for event, _ in await told(broker)] == ["join", "join"]

    async def test_a_lingering_connection_may_come_back_itself(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        await leave(broker, "c1", linger=True)
        await enter(broker, "c1")
        assert await enter(broker, "c2") == Entered(2, 1)
        assert await present(broker) == (["c1", "c2"], 2, 1)

    async def test_members_are_paged_with_exact_counts(self, broker: Broker) -> None:
        await beat(broker, "i1")
        names = [f"c{n:02}" for n in range(7)]
        for name in names:
            await enter(broker, name, f"u{name}")
        cursor, seen = None, []
        for _ in range(3):
            page = await broker.members("room:a", cursor=cursor, limit=3)
            assert (page.count, page.users) == (7, 7)
            seen += [m.connection for m in page.members]
            cursor = page.cursor
            await leave(broker, "c00")
            await enter(broker, "c00", "uc00")
        assert (seen, cursor) == (names, None)

    async def test_a_foreign_cursor_is_refused(self, broker: Broker) -> None:
        for cursor in ("x", "c6", "cff", "é", "=" * 9, "a" * 5000):
            with pytest.raises(OpenlineError) as caught:
                await broker.members("room:a", cursor=cursor, limit=3)
            assert caught.value.code is Code.BAD_REQUEST
            with pytest.raises(OpenlineError) as caught:
                await broker.channels("room:", cursor=cursor, limit=3)
            assert caught.value.code is Code.BAD_REQUEST

    async def test_without_a_lease_nothing_is_written(self, broker: Broker) -> None:
        for attempt in (enter(broker, "c1"), broker.listeners("i1", {"room:a": 2})):
            with pytest.raises(OpenlineError) as caught:
                await attempt
            assert caught.value.code is Code.UNAVAILABLE
        assert await present(broker) == ([], 0, 0)
        assert await broker.subscribers(["room:a"]) == [0]

    async def test_a_dead_nodes_members_leave_once(self, broker: Broker, age) -> None:
        await beat(broker, "dead")
        await beat(broker, "i1")
        await enter(broker, "c1", "bob", incarnation="dead")
        await enter(broker, "c2", "eve", incarnation="i1")
        await broker.listeners("dead", {"room:a": 1, "room:b": 1})
        await broker.listeners("i1", {"room:a": 1})
        assert await expired(broker, age, survivor="i1") == ("dead",)
        assert not await broker.reap(0, "dead")
        assert not await broker.reap(0, "dead")
        assert await present(broker) == (["c2"], 1, 1)
        assert [event for event, _ in await told(broker)] == ["join", "join", "leave"]
        assert (await told(broker))[-1][1]["connection"] == "c1"
        assert await broker.subscribers(["room:a", "room:b"]) == [1, 0]
        assert (await broker.channels("", cursor=None, limit=9)).channels == (("room:a", 1),)
        assert (await beat(broker, "i1")).expired == ()
        assert (await beat(broker, "dead")).lost

    async def test_a_living_node_is_not_reaped(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await enter(broker, "c1")
        assert not await broker.reap(0, "i1")
        assert not await broker.reap(0, "unknown")
        assert await present(broker) == (["c1"], 1, 1)
        assert not (await beat(broker, "i1")).lost

    async def test_many_members_are_reaped_in_parts(self, broker: Broker) -> None:
        await beat(broker, "dead")
        for n in range(600):
            await enter(broker, f"c{n}", incarnation="dead", announce=False)
        await broker.listeners("dead", {f"room:{n}": 1 for n in range(1200)})
        await broker.resign("dead")
        assert [await broker.reap(0, "dead") for _ in range(3)] == [True, True, False]
        assert await present(broker) == ([], 0, 0)
        assert (await broker.channels("", cursor=None, limit=9)).channels == ()

    async def test_when_the_store_was_away_nobody_is_reaped(self, broker: Broker, age) -> None:
        await beat(broker, "i1")
        await beat(broker, "i2")
        await age(LEASE * 1.5)
        assert not await broker.reap(0, "i2")
        assert (await beat(broker, "i1")).expired == ()
        assert not await broker.reap(0, "i2")
        assert not (await beat(broker, "i2")).lost

    async def test_who_resigns_is_gone_at_once(self, broker: Broker) -> None:
        await beat(broker, "i1")
        await beat(broker, "i2")
        await enter(broker, "c1")
        await broker.resign("i1")
        assert await broker.nodes() == [b'{"node":"i2"}']
        assert (await beat(broker, "i2")).expired == ("i1",)
        assert (await beat(broker, "i1")).lost
        with pytest.raises(OpenlineError):
            await enter(broker, "c2")
        await broker.reap(0, "i1")
        assert await present(broker) == ([], 0, 0)

    async def test_who_entered_again_is_not_reaped(self, broker: Broker) -> None:
        await beat(broker, "old")
        await enter(broker, "c1", incarnation="old")
        await beat(broker, "new")
        assert await enter(broker, "c1", incarnation="new") == Entered(1, 1)
        assert not await leave(broker, "c1", incarnation="old")
        await broker.resign("old")
        await broker.reap(0, "old")
        assert await present(broker) == (["c1"], 1, 1)
        assert [event for event, _ in await told(broker)] == ["join"]

    async def test_subscribers_are_summed_over_nodes(self, broker: Broker) -> None:
        for name in ("i1", "i2"):
            await beat(broker, name)
        await broker.listeners("i1", {"room:a": 3, "room:b": 1})
        await broker.listeners("i2", {"room:a": 4})
        assert await broker.subscribers(["room:a", "room:b", "room:c"]) == [7, 1, 0]
        assert (await publish_one(broker, draft("room:a"))).subscribers == 7
        assert (await publish_one(broker, draft("room:a", ephemeral=True))).subscribers == 7
        await broker.listeners("i1", {"room:a": 0, "room:b": 0})
        assert await broker.subscribers(["room:a", "room:b"]) == [4, 0]
        assert await broker.subscribers([]) == []

    async def test_who_tells_its_subscribers_learns_the_fleets_in_the_same_step(
        self, broker: Broker
    ) -> None:
        for name in ("i1", "i2"):
            await beat(broker, name)
        mine = {"room:a": 3, "room:b": 1, "room:c": 2}
        assert await broker.listeners("i1", mine) == {}
        assert await broker.listeners("i1", mine, totals={"room:a", "room:c", "room:other"}) == {
            "room:a": 3,
            "room:c": 2,
        }
        both = await asyncio.gather(
            *(broker.listeners(name, {"room:b": 5}, totals=["room:b"]) for name in ("i1", "i2"))
        )
        assert sorted(totals["room:b"] for totals in both) == [5, 10]
        assert await broker.listeners("i1", {"room:b": 0}, totals=["room:b"]) == {"room:b": 5}

    async def test_a_node_that_is_quiet_for_half_a_lease_counts_no_more_until_it_is_back(
        self, broker: Broker, age
    ) -> None:
        """Its clients have most likely come back elsewhere; its members stay until its lease ends."""
        for name in ("i1", "i2"):
            await beat(broker, name)
        await broker.listeners("i1", {"room:a": 3, "room:b": 2})
        await broker.listeners("i2", {"room:a": 4})
        await enter(broker, "c1", incarnation="i1")

        async def counted() -> tuple[list[int], int, int]:
            return (
                await broker.subscribers(["room:a", "room:b"]),
                (await publish_one(broker, draft("room:a"))).subscribers,
                len((await broker.channels("", cursor=None, limit=9)).channels),
            )

        assert await counted() == ([7, 2], 7, 2)
        for _ in range(6):
            await age(LEASE / 10)
            await beat(broker, "i2")
        assert await counted() == ([4, 0], 4, 1)
        assert (await present(broker))[0] == ["c1"]
        await beat(broker, "i1")
        assert await counted() == ([7, 2], 7, 2)
        await broker.resign("i1")
        assert await counted() == ([4, 0], 4, 1)

    async def test_a_node_with_a_new_name_counts_once_and_its_members_stay(
        self, broker: Broker
    ) -> None:
        await beat(broker, "old")
        await broker.listeners("old", {"room:a": 3})
        await enter(broker, "c1", incarnation="old")
        renamed = Beat(incarnation="new", node=b"{}", former="old")
        for _ in range(2):
            assert (await broker.beat(0, renamed)).expired == ()
        await broker.listeners("new", {"room:a": 3})
        assert await broker.subscribers(["room:a"]) == [3]
        assert (await present(broker))[0] == ["c1"]
        assert (
            await broker.beat(0, Beat(incarnation="i1", node=b"{}", former="none"))
        ).lost is False

    async def test_channels_are_listed_by_name_and_prefix(self, broker: Broker) -> None:
        await beat(broker, "i1")
        names = ["live:z", "room:a", "room:b", "room:b2", "room:|", "user:a"]
        await broker.listeners("i1", dict.fromkeys([*names, channels.connections("bob")], 2))
        assert await broker.subscribers([channels.connections("bob")]) == [2]
        every = await broker.channels("", cursor=None, limit=100)
        assert every.channels == tuple((name, 2) for name in names)
        assert every.cursor is None
        cursor, seen = None, []
        for _ in range(2):
            page = await broker.channels("room:", cursor=cursor, limit=2)
            seen += [name for name, _ in page.channels]
            cursor = page.cursor
        assert (seen, cursor) == (names[1:5], None)
        assert (await broker.channels("none:", cursor=None, limit=2)).channels == ()

    async def test_nodes_tell_of_themselves(self, broker: Broker, age) -> None:
        assert await broker.nodes() == []
        await beat(broker, "i1")
        assert await broker.nodes() == [b'{"node":"i1"}']
        await age(LEASE * 1.2)
        assert await broker.nodes() == []

    async def test_buckets_fill_and_overdraw(self, broker: Broker, pass_time, now) -> None:
        assert await broker.spend({}, rate=1, burst=10) == {}
        begun = now()
        left = await broker.spend({"bob": 4, "eve": 12.5}, rate=5, burst=10)
        assert left == {"bob": 6, "eve": -2.5}
        assert (await broker.spend({"eve": 100}, rate=5, burst=10))["eve"] == pytest.approx(
            -10, abs=0.2
        )
        await pass_time(0.5)
        after = await broker.spend({"bob": 0, "eve": 0}, rate=5, burst=10)
        assert 8.4 <= after["bob"] <= 10
        assert -7.6 <= after["eve"] <= 5 * (now() - begun) - 9.9
        await pass_time(0.5)
        assert (await broker.spend({"bob": 0}, rate=500, burst=10))["bob"] == 10
