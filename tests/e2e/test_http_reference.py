"""Each example of docs/reference/http.md is taken by the running system."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.documents import Block, Follower, blocks, following
from tests.support.stack import Stack

# What has to be refused as it stands: names of a connection and a gateway are made up, registering is off unless somebody
# opens it.
REFUSED = {
    "POST /v1/connections/{connection}/messages": {"404", "202"},
    "POST /v1/connections/{connection}/disconnect": {"404", "202"},
    "POST /v1/nodes/{node}/drain": {"404"},
    "DELETE /v1/nodes/{node}/drain": {"404"},
    "POST /auth/register": {"201", "403"},
}


@pytest.fixture(scope="module")
def reader(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Follower]:
    with following(stack, tmp_path_factory.mktemp("reader")) as follower:
        yield follower


@pytest.mark.parametrize("block", blocks("docs/reference/http.md"), ids=lambda block: block.heading)
def test_an_example_of_the_http_api_does_what_it_says(reader: Follower, block: Block) -> None:
    client = reader.stack.run["clients"][0]
    code = block.code.replace("curl ", "curl -s -o /dev/null -w '%{http_code}' ")
    code = code.replace("alice", f"user-{secrets.token_hex(4)}")
    code = code.replace("carol", f"user-{secrets.token_hex(4)}")
    code = code.replace("gateway-1", "gateway-0")  # other tests need it
    code = code.replace("=ID", f"={client['client_id']}")
    code = code.replace("=SECRET", f"={client['client_secret']}")
    status = reader.run(block._replace(code=code)).strip()
    assert status in REFUSED.get(block.heading, {"200", "201", "202", "204"})


def test_there_are_examples() -> None:
    assert len(blocks("docs/reference/http.md")) > 20
