"""Messages from an Openline server, and to it: a client for asyncio, publishers, tokens, helpers for FastAPI and Django."""

from openline.async_publisher import AsyncPublisher
from openline.channel import Channel
from openline.client import Client
from openline.errors import ContinuityLost, InvalidData, OpenlineError, Unauthorized
from openline.publisher import Publisher
from openline.signing import SigningKey
from openline.typed import Typed
from openline.types import (
    Audience,
    ChannelPage,
    Connected,
    Count,
    Direct,
    Draft,
    Event,
    History,
    Invalid,
    Join,
    Leave,
    Lost,
    Member,
    Message,
    Position,
    PresencePage,
    Published,
    Recovered,
    State,
    Typing,
)

__all__ = [
    "AsyncPublisher",
    "Audience",
    "Channel",
    "ChannelPage",
    "Client",
    "Connected",
    "ContinuityLost",
    "Count",
    "Direct",
    "Draft",
    "Event",
    "History",
    "Invalid",
    "InvalidData",
    "Join",
    "Leave",
    "Lost",
    "Member",
    "Message",
    "OpenlineError",
    "Position",
    "PresencePage",
    "Published",
    "Publisher",
    "Recovered",
    "SigningKey",
    "State",
    "Typed",
    "Typing",
    "Unauthorized",
]
