"""The authenticated sessions of a gateway, by connection and by user."""

from __future__ import annotations

from collections.abc import Iterator

from services.gateway.session.session import Session


class Registry:
    """Each session once. Iterating goes over a snapshot: closing sessions on the way is fine.

    `accepted`: how many have come in all.
    """

    __slots__ = ("_sessions", "_users", "accepted")

    def __init__(self) -> None:
        self.accepted = 0
        self._sessions: dict[str, Session] = {}
        # Most users have one connection: a set for each of them alone would be a twentieth of what a connection takes.
        self._users: dict[str, Session | set[Session]] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def add(self, session: Session) -> None:
        """From now on."""
        self.accepted += 1
        self._sessions[session.id] = session
        if session.user is None:
            return
        mine = self._users.get(session.user)
        if mine is None:
            self._users[session.user] = session
        elif isinstance(mine, set):
            mine.add(session)
        else:
            self._users[session.user] = {mine, session}

    def remove(self, session: Session) -> bool:
        """No longer; False when it was not there."""
        if self._sessions.pop(session.id, None) is None:
            return False
        if session.user is not None:
            mine = self._users[session.user]
            if isinstance(mine, set):
                mine.discard(session)
            if not isinstance(mine, set) or not mine:
                del self._users[session.user]
        return True

    def get(self, connection: str) -> Session | None:
        """The session of a connection, if it is here."""
        return self._sessions.get(connection)

    def of(self, user: str) -> list[Session]:
        """The sessions of a user."""
        mine = self._users.get(user, ())
        return [mine] if isinstance(mine, Session) else list(mine)

    def counts(self) -> dict[str, int]:
        """How many connections each user has here."""
        return {
            user: len(mine) if isinstance(mine, set) else 1 for user, mine in self._users.items()
        }
