"""Control messages survive the bus, and unknown ones are passed over."""

from __future__ import annotations

import json

import msgspec
import pytest

from services.kernel.domain import control
from services.kernel.domain.control import (
    CarryCommands,
    CommandsTaken,
    Direct,
    DisconnectConnection,
    DisconnectUser,
    DrainNode,
    EndFormer,
    ProbeUser,
    Revoke,
    SubscribeUser,
    UndoDrain,
    UnsubscribeUser,
)


@pytest.mark.parametrize(
    "message",
    [
        DisconnectUser(user="bob", code=4010, reason="bye ü"),
        DisconnectConnection(connection="c1"),
        EndFormer(connection="c1", user="bob"),
        EndFormer(connection="c1", user=None, client="digest"),
        ProbeUser(user="bob"),
        DrainNode(node="gateway-1", within=7.5),
        UndoDrain(node="gateway-1"),
        SubscribeUser(user="bob", channel="room:a"),
        UnsubscribeUser(user="bob", channel="room:a"),
        Direct(connection="c1", data=msgspec.Raw(b'{"n":1.0}'), ts=1700000000000),
        Revoke(kind="sub", value="bob", exp=2.5, cutoff=1.5),
        CarryCommands(
            connection="c1", digest="d", request="r", commands=[msgspec.Raw(b'{"a":1.0}')]
        ),
        CommandsTaken(request="r"),
        CommandsTaken(request="r", code="rate_limited", message="wait", retry_after=1.5),
    ],
)
def test_a_message_comes_back_as_it_was(message):
    encoded = control.encode(message)
    assert isinstance(json.loads(encoded), dict)
    assert control.decode(encoded) == message


def test_direct_data_is_spliced_not_encoded_again():
    encoded = control.encode(Direct(connection="c", data=msgspec.Raw(b"1e2"), ts=0))
    assert b'"data":1e2' in encoded


def test_disconnect_is_4004_unless_said_otherwise():
    assert DisconnectUser(user="bob").code == 4004


@pytest.mark.parametrize(
    "message", [b'{"do":"teleport","user":"bob"}', b'{"do":"direct"}', b"no", b"[]"]
)
def test_what_this_version_does_not_know_is_none(message):
    assert control.decode(message) is None
