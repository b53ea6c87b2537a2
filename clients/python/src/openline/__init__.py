"""Messages from an Openline server, and to it: a client for asyncio, publishers, tokens, helpers for FastAPI and Django."""

from openline.channel import Channel
from openline.client import Client
from openline.errors import ContinuityLost, InvalidData, OpenlineError, Unauthorized
from openline.types import (
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
    "Channel",
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
    "Recovered",
    "State",
    "Typing",
    "Unauthorized",
]
