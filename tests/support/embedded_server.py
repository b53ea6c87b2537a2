"""The embedded server as a process that is told what to do through its standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.support.stack import ROOT


class EmbeddedServer:
    """Ends with its `with` block, and with us. `facts` are what it said when it was ready."""

    def __init__(self, **variables: str) -> None:
        given = {
            name: text for name, text in os.environ.items() if not name.startswith("OPENLINE_")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services.embedded", "--control"],
            cwd=ROOT,
            env={**given, "PYTHONPATH": str(ROOT), "OPENLINE_PORT": "0", **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.facts = self.answer()
        self.url = str(self.facts["url"])
        self.ws = self.url.replace("http", "ws", 1)
        self._number = 0

    def answer(self) -> dict[str, Any]:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, verb: str, **fields: Any) -> Any:
        """The answer to an order."""
        self.send(json.dumps({"id": (number := self._number), "verb": verb, **fields}).encode())
        self._number += 1
        answer = self.answer()
        assert answer["id"] == number
        return answer["result"] if "result" in answer else answer["error"]

    def send(self, line: bytes) -> None:
        """A line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Its exit status, after its standard input has ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def cpu_seconds(self) -> float:
        """What it has used so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def backend(self) -> dict[str, str]:
        """The header of its client, with a token by `/auth/token`."""
        login = (self.facts["client_id"], self.facts["client_secret"])
        answer = httpx2.post(
            f"{self.url}/auth/token", data={"grant_type": "client_credentials"}, auth=login
        )
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def connect_token(self, user: str) -> str:
        """A user's token, by the client."""
        answer = httpx2.post(
            f"{self.url}/auth/connect-tokens", json={"sub": user}, headers=self.backend()
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def publish(self, channel: str, data: object) -> dict[str, Any]:
        """Publish by HTTP; the answer."""
        answer = httpx2.post(
            f"{self.url}/v1/channels/{channel}/messages",
            json={"data": data},
            headers=self.backend(),
        )
        assert answer.status_code == 201, answer.text
        published: dict[str, Any] = answer.json()
        return published
