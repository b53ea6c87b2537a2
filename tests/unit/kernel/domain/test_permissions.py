"""Permissions: claims, the namespace's rules and membership, in one answer."""

from __future__ import annotations

import pytest

from services.kernel.domain import capabilities, permissions
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code
from services.kernel.domain.namespaces import Access, Namespace
from tests.support.refusals import refused

BOB = Claims(sub="bob")


def granted(*actions, pattern="room:*"):
    return Claims(sub="bob", channels=capabilities.parse({pattern: list(actions)}))


def room(access):
    return Namespace(
        name="room", subscribe=access, publish=access, read_presence=access, read_history=access
    )


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(
    ("claims", "access", "subscribed"),
    [
        (None, Access.ANYONE, False),
        (BOB, Access.ANYONE, False),
        (BOB, Access.AUTHENTICATED, False),
        (BOB, Access.MEMBERS, True),
        (None, Access.MEMBERS, True),
        (granted(*Action), Access.GRANTED, False),
        (granted(*Action), Access.MEMBERS, False),
    ],
)
def test_what_is_given_is_allowed(action, claims, access, subscribed):
    permissions.check(claims, room(access), "room:x", action, subscribed=subscribed)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(
    ("claims", "access", "code", "reason"),
    [
        (None, Access.AUTHENTICATED, Code.FORBIDDEN, "needs a token$"),
        (None, Access.MEMBERS, Code.FORBIDDEN, "needs a token$"),
        (None, Access.GRANTED, Code.FORBIDDEN, "needs a token$"),
        (BOB, Access.MEMBERS, Code.NOT_SUBSCRIBED, "subscribe to room:x first"),
        (BOB, Access.GRANTED, Code.FORBIDDEN, "whose claim channels allows"),
        (BOB, Access.NOBODY, Code.FORBIDDEN, "does not allow"),
        (granted(*Action), Access.NOBODY, Code.FORBIDDEN, "does not allow"),
        (granted(*Action, pattern="live:*"), Access.ANYONE, Code.FORBIDDEN, "does not allow"),
    ],
)
def test_what_is_not_given_is_refused_saying_what_it_takes(action, claims, access, code, reason):
    with refused(code, reason):
        permissions.check(claims, room(access), "room:x", action)


@pytest.mark.parametrize("action", [Action.SUBSCRIBE, Action.PRESENCE, Action.HISTORY])
def test_the_personal_channel_is_its_users_whatever_the_claim_lists(action):
    user = Namespace(
        name="user",
        subscribe=Access.GRANTED,
        read_presence=Access.GRANTED,
        read_history=Access.GRANTED,
    )
    permissions.check(granted("subscribe"), user, "user:bob", action)
    with refused(Code.FORBIDDEN):
        permissions.check(granted("subscribe"), user, "user:eve", action)


@pytest.mark.parametrize("action", [Action.SUBSCRIBE, Action.PRESENCE, Action.HISTORY])
def test_a_token_may_be_without_a_personal_channel(action):
    user = Namespace(
        name="user",
        subscribe=Access.GRANTED,
        read_presence=Access.GRANTED,
        read_history=Access.GRANTED,
    )
    claims = Claims(
        sub="bob", channels=capabilities.parse({}), scope=frozenset(["read"]), personal=False
    )
    with refused(Code.FORBIDDEN):
        permissions.check(claims, user, "user:bob", action)
    with refused(Code.FORBIDDEN):
        permissions.check_http(claims, "user:bob", action, scope="read")
    listed = Claims(sub="bob", channels=capabilities.parse({"user:bob": [action]}), personal=False)
    permissions.check(listed, user, "user:bob", action)


def test_what_goes_beyond_channels_is_refused_to_who_is_limited_to_them():
    permissions.check_unlimited(BOB, "listing the gateways")
    with refused(Code.FORBIDDEN, "listing the gateways goes beyond channels"):
        permissions.check_unlimited(granted("subscribe"), "listing the gateways")


def test_the_personal_channel_does_not_let_its_user_publish():
    user = Namespace(name="user", publish=Access.GRANTED)
    with refused(Code.FORBIDDEN):
        permissions.check(BOB, user, "user:bob", Action.PUBLISH)


def test_over_http_the_scope_suffices_unless_a_claim_limits_it():
    scope = frozenset({"publish"})
    permissions.check_http(
        Claims(sub="client:shop", scope=scope), "room:x", Action.PUBLISH, scope="publish"
    )
    limited = Claims(
        sub="client:shop", scope=scope, channels=capabilities.parse({"room:a*": ["publish"]})
    )
    permissions.check_http(limited, "room:ab", Action.PUBLISH, scope="publish")
    with refused(Code.FORBIDDEN, "does not allow publish on room:x"):
        permissions.check_http(limited, "room:x", Action.PUBLISH, scope="publish")
    with refused(Code.FORBIDDEN, "scope read"):
        permissions.check_http(limited, "room:ab", Action.HISTORY, scope="read")


def test_over_http_too_a_claim_leaves_its_holder_the_own_channel():
    limited = Claims(
        sub="bob", scope=frozenset({"read", "publish"}), channels=capabilities.parse({})
    )
    permissions.check_http(limited, "user:bob", Action.HISTORY, scope="read")
    permissions.check_http(limited, "user:bob", Action.PRESENCE, scope="read")
    for channel, action in (("user:eve", Action.HISTORY), ("user:bob", Action.PUBLISH)):
        with refused(Code.FORBIDDEN, "does not allow"):
            permissions.check_http(limited, channel, action, scope="read")
    with refused(Code.FORBIDDEN, "scope manage"):
        permissions.check_http(limited, "user:bob", Action.SUBSCRIBE, scope="manage")
