"""Where tokens come from: one call at a time, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from openline.errors import Unauthorized
from openline.tokens import Tokens

pytestmark = pytest.mark.clients


class Provider:
    def __init__(self):
        self.asked = []
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, reason):
        self.asked.append(reason)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        return f"token-{len(self.asked)}"


@pytest.mark.parametrize("token", ["t", None])
async def test_a_fixed_token_is_always_the_same(token):
    tokens = Tokens(token)
    assert tokens.is_fixed
    assert [await tokens.current(), await tokens.get("renew")] == [token, token]


async def test_a_fixed_token_that_has_expired_ends_it():
    with pytest.raises(Unauthorized, match="function"):
        await Tokens("t").get("expired")


@pytest.mark.parametrize(
    ("given", "what"),
    [("", "''"), (42, "int"), (b"t", "bytes"), ({"token": "t"}, "dict")],
)
async def test_a_function_that_gives_something_else_and_never_gave_a_token_is_a_mistake_that_is_named(
    given, what
):
    with pytest.raises(Unauthorized, match=f"`token` gave {what}: give a token, or None"):
        await Tokens(lambda _reason: given).current()


async def test_an_empty_text_in_place_of_a_token_is_the_same_mistake_and_none_is_none():
    with pytest.raises(Unauthorized, match="gave ''"):
        await Tokens("").current()
    assert await Tokens(lambda _reason: None).current() is None


async def test_one_who_has_given_a_token_then_something_else_is_asked_again():
    answers = iter(["t", "", "u"])
    tokens = Tokens(lambda _reason: next(answers))
    assert await tokens.current() == "t"
    with pytest.raises(TypeError, match="gave ''"):
        await tokens.get("renew")
    assert await tokens.current() == "t"
    assert await tokens.get("renew") == "u"


async def test_a_plain_function_will_do():
    assert await Tokens(lambda reason: f"for {reason}").current() == "for first"


async def test_the_newest_token_is_kept():
    provider = Provider()
    provider.go.set()
    tokens = Tokens(provider)
    assert [await tokens.current(), await tokens.current()] == ["token-1", "token-1"]
    assert await tokens.get("renew") == "token-2"
    assert await tokens.current() == "token-2"
    assert provider.asked == ["first", "renew"]


async def test_two_who_ask_share_one_call():
    provider = Provider()
    tokens = Tokens(provider)
    both = [asyncio.create_task(tokens.get("first")), asyncio.create_task(tokens.get("renew"))]
    await asyncio.sleep(0)
    provider.go.set()
    assert await asyncio.gather(*both) == ["token-1", "token-1"]
    assert provider.most == 1


async def test_a_call_that_nobody_waits_for_any_more_is_the_next_ones():
    provider = Provider()
    tokens = Tokens(provider)
    gone = asyncio.create_task(tokens.get("first"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    provider.go.set()
    assert await tokens.current() == "token-1"
    assert provider.asked == ["first"]


async def test_what_the_function_raises_is_raised_and_the_next_call_is_a_new_one():
    answers = iter([RuntimeError("no"), "t"])

    def provider(_reason):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    tokens = Tokens(provider)
    with pytest.raises(RuntimeError):
        await tokens.current()
    assert await tokens.current() == "t"


async def test_closing_ends_a_call_that_is_under_way():
    provider = Provider()
    tokens = Tokens(provider)
    waiting = asyncio.create_task(tokens.current())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await tokens.close()
    await asyncio.gather(waiting, return_exceptions=True)
    assert provider.running == 0
