"""Who is let in to read why it is refused."""

from __future__ import annotations

from services.gateway.transports.farewell import farewell
from services.kernel.domain.codes import Code, OpenlineError
from tests.support.gateway_host import ManualHost, RecordingConnection


def test_it_is_closed_with_4000_and_the_reason_under_a_subprotocol_of_its_own():
    acceptance = farewell(OpenlineError(Code.BAD_REQUEST, "say please"), ["chat"])
    assert (acceptance.subprotocol, acceptance.greets) == ("chat", False)
    connection = RecordingConnection(ManualHost())
    assert acceptance.receiver(connection) is None
    assert (connection.code, connection.reason) == (4000, "say please")
