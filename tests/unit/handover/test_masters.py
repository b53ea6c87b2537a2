"""What servers say of themselves, and which one is meant."""

from __future__ import annotations

import pytest

from services.handover.masters import Master, RefusedError, choose, facts
from services.kernel.redis.store_url import parse


def master(*partitions: int) -> Master:
    return Master(partitions, "run", "id", (), parse("redis://127.0.0.1/0"))


def test_fields_of_info_are_read_and_a_refusal_has_none():
    assert facts(b"# Server\r\nrun_id:ab\r\nslave0:ip=::1,port=1\r\n") == {
        "run_id": "ab",
        "slave0": "ip=::1,port=1",
    }
    assert facts(Exception("NOPERM")) == {}


def test_the_only_server_needs_no_name():
    only = master(0, 1)
    assert choose([only], None) is only
    assert choose([only], 1) is only


def test_of_several_servers_one_is_named_by_what_it_holds():
    servers = [master(0, 1), master(2)]
    assert choose(servers, 2) is servers[1]
    with pytest.raises(
        RefusedError, match=r"name one with --partition.*partitions 0-1; partition 2"
    ):
        choose(servers, None)
    with pytest.raises(RefusedError, match="--partition 3: there are partitions 0 to 2"):
        choose(servers, 3)
