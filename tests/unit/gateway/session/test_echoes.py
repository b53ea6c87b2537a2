"""Publishes without echo: each is acked once, at its message's place or where none will come."""

from __future__ import annotations

import pytest

from services.gateway.session import echoes as module
from services.gateway.session.echoes import Echoes, Verdict, covers
from services.kernel.broker.port import Published
from services.kernel.domain.codes import Code
from services.kernel.domain.positions import Position
from tests.support.refusals import refused

HERE = Position("e", 5)


def pending(echoes, result=None, *, channel="chat:a", command=1, at=HERE):
    """A publish under way, answered by the store when there is a result."""
    token = echoes.token("me")
    echoes.add(token, channel=channel, command=command, position=at)
    if result is not None:
        echoes.stored(token, result)
    return token


def test_tokens_name_the_connection_and_differ():
    echoes = Echoes()
    assert [echoes.token("me"), echoes.token("me")] == ["me.1", "me.2"]


def test_it_is_pending_until_its_message_comes():
    echoes = Echoes()
    token = pending(echoes)
    assert (token in echoes, len(echoes)) == (True, 1)
    assert echoes.remove(token).command == 1
    assert (token in echoes, len(echoes)) == (False, 0)
    assert echoes.remove(token) is None
    assert echoes.stored(token, Published("e", 6)) is None


@pytest.mark.parametrize(
    ("result", "position", "verdict", "kept"),
    [
        (Published("e", 5), None, Verdict.ACK, False),  # not a listener any more
        (Published("e", 5), HERE, Verdict.ACK, False),  # delivered already: a duplicate's first
        (Published("e", 6), HERE, Verdict.WAIT, True),  # its message will come
        (Published("e", 6, duplicate=True), HERE, Verdict.LOOK_AGAIN, True),
        (Published("", 0), HERE, Verdict.ACK, True),  # ephemeral
        (Published("new", 7), HERE, Verdict.WAIT, True),  # its reset will come
        (Published("e", 7), Position("new", 7), Verdict.ACK, True),  # its reset has come
    ],
)
def test_what_is_acked_when_the_store_answers_first(result, position, verdict, kept):
    echoes = Echoes()
    token = pending(echoes, result)
    assert echoes.confirm(token, position) is verdict
    assert (token in echoes) is kept


def test_a_duplicate_of_an_epoch_that_no_reset_names_is_acked_in_the_end():
    """Stored before the store was restarted, sent again behind that: the store answers with the place it had then."""
    echoes = Echoes()
    token = pending(echoes, Published("before", 7, duplicate=True))
    looks = [echoes.confirm(token, HERE) for _ in range(module.MAX_LOOKS)]
    assert looks == [Verdict.LOOK_AGAIN] * (module.MAX_LOOKS - 1) + [Verdict.ACK]
    assert echoes.confirm(token, HERE) is Verdict.WAIT


def test_a_duplicate_of_the_epoch_that_a_reset_names_is_acked_behind_the_reset():
    echoes = Echoes()
    token = pending(echoes, Published("new", 7, duplicate=True))
    assert echoes.confirm(token, HERE) is Verdict.LOOK_AGAIN
    assert echoes.jump("chat:a", Position("new", 6)) == ([], [])
    assert echoes.confirm(token, Position("new", 6)) is Verdict.LOOK_AGAIN
    assert echoes.confirm(token, Position("new", 7)) is Verdict.ACK


def test_nothing_is_acked_twice_or_before_it_is_stored():
    echoes = Echoes()
    token = pending(echoes)
    assert echoes.confirm(token, HERE) is Verdict.WAIT
    echoes.stored(token, Published("e", 7))
    assert echoes.confirm(token, Position("new", 5)) is Verdict.ACK
    assert echoes.confirm(token, Position("new", 5)) is Verdict.WAIT
    assert echoes.confirm("unknown", HERE) is Verdict.WAIT
    assert (echoes._pending[token].acked, token in echoes) == (True, True)


def test_a_flush_acks_what_is_stored_and_keeps_what_is_not():
    echoes = Echoes()
    behind = pending(echoes, Published("e", 5), command=1)
    acked = pending(echoes, Published("", 0), command=2)
    open_ = pending(echoes, command=3)
    other = pending(echoes, Published("e", 1), channel="chat:b", command=4)
    echoes.confirm(acked, HERE)
    assert [command for command, _ in echoes.flush("chat:a")] == [1]
    assert [token in echoes for token in (behind, acked, open_, other)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_jump_acks_what_the_old_epoch_had_before_and_what_the_new_one_has_behind():
    echoes = Echoes()
    old = pending(echoes, Published("e", 6), command=1)
    new = pending(echoes, Published("new", 7), command=2)
    beyond = pending(echoes, Published("new", 8), command=3)
    open_ = pending(echoes, command=4, at=None)
    other = pending(echoes, Published("e", 1), channel="chat:b", command=5)
    before, behind = echoes.jump("chat:a", Position("new", 7))
    assert ([c for c, _ in before], [c for c, _ in behind]) == ([1], [2])
    kept = [token in echoes for token in (old, new, beyond, open_, other)]
    assert kept == [False, False, True, True, True]


def test_they_are_bounded_and_those_that_may_never_come_give_way(monkeypatch):
    monkeypatch.setattr(module, "MAX_ECHOES", 2)
    echoes = Echoes()
    ephemeral = pending(echoes, Published("", 0))
    echoes.confirm(ephemeral, HERE)
    pending(echoes)
    pending(echoes)
    assert ephemeral not in echoes
    with refused(Code.RATE_LIMITED) as refusal:
        echoes.token("me")
    assert refusal.value.retry_after == 1


def test_a_position_covers_its_epoch_up_to_its_offset():
    assert covers(HERE, Published("e", 5))
    assert not covers(HERE, Published("e", 6))
    assert not covers(HERE, Published("d", 1))
