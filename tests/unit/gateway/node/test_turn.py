"""What is put off until the entries at hand are delivered."""

from __future__ import annotations

from services.gateway.node.turn import Turn


def fail():
    raise ValueError("a bug")


def test_outside_of_a_batch_it_is_the_loop_that_calls():
    queue, called = [], []
    turn = Turn(queue.append)
    turn.soon(lambda: called.append(1))
    assert (len(queue), called) == (1, [])


def test_at_the_end_of_a_batch_all_are_called_whatever_one_does_and_what_they_put_off_waits():
    queue, called = [], []
    turn = Turn(queue.append)
    turn.begin()
    turn.soon(fail)
    turn.soon(lambda: turn.soon(lambda: called.append("later")))
    turn.soon(lambda: called.append("now"))
    assert (queue, called) == ([], [])
    turn.end()
    assert called == ["now"]
    (later,) = queue
    later()
    assert called == ["now", "later"]
