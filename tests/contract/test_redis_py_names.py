"""The private names of redis-py that `services/kernel/redis` uses."""

from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser
from redis.asyncio.connection import AbstractConnection, Connection
from redis.exceptions import ReadOnlyError

from tests.support.redis_server import start_redis

pytestmark = pytest.mark.server

MOVED = "redis-py has changed a private name that services/kernel/redis uses: see its README before raising the bound"


async def test_the_private_names_of_redis_py_exist(tmp_path):
    with start_redis(tmp_path) as server:
        connection = Connection(port=server.port)
        assert isinstance(connection, AbstractConnection)
        await connection.connect()
        assert getattr(connection, "_reader", None) is not None, MOVED
        writer = getattr(connection, "_writer", None)
        assert writer is not None, MOVED
        assert hasattr(writer, "transport"), MOVED
        await connection.disconnect()
    refusal = getattr(BaseParser, "parse_error", lambda _: None)("READONLY You cannot write")
    assert isinstance(refusal, ReadOnlyError), MOVED
