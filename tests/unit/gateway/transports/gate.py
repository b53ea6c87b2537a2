"""A node as transports see it, without loop or store."""

from __future__ import annotations

from services.gateway.node.quota import Quota
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from tests.support.gateway_host import ManualHost


class KnownTokens:
    """`seen` is a token that was verified before, `bad` is none."""

    def seen(self, token):
        return Claims(sub="bob") if token == "seen" else None

    async def verify(self, token):
        if token == "bad":
            raise OpenlineError(Code.UNAUTHORIZED, "bad token")
        return Claims(sub=token)

    async def redeem(self, ticket):
        return Claims(sub=f"ticket-{ticket}")


class Gate(ManualHost):
    """A host with what transports ask of a node."""

    def __init__(self):
        super().__init__()
        self.draining = self.turns_away = False
        self.limits = Limits(connections_per_address=1)
        self.quota = Quota(self.limits)
        self.tokens = KnownTokens()
