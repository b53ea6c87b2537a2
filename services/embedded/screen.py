"""What the person at the terminal sees: that nothing is kept, and lines that work as printed."""

from __future__ import annotations

# Works whatever the order and spacing of the answer's members.
_PICK = r"""sed 's/.*"access_token" *: *"\([^"]*\)".*/\1/'"""
_JSON = '-H "Content-Type: application/json"'


def ready(url: str, *, client: str, client_secret: str, secret: str) -> str:
    """The screen."""
    login = f"-u {client}:{client_secret} -d grant_type=client_credentials"
    token = f"$(curl -s {login} {url}/auth/token | {_PICK})"
    bearer = f'-H "Authorization: Bearer {token}"'
    return "\n".join(
        [
            "",
            f"  Openline is up in memory:  {url}/",
            "",
            "  One process: it has no fleet and no durability. Whatever is published is gone when it ends.",
            "  For trying out and for tests; `openline-server run` keeps messages and runs several gateways.",
            "",
            "  your back end:",
            f"  export OPENLINE_URL={url} OPENLINE_CLIENT_ID={client} OPENLINE_CLIENT_SECRET={client_secret}",
            "  or sign tokens yourself (HS256, iss = the address above, aud = openline) with the secret",
            f"  {secret}",
            "",
            "  listen, then publish in a second terminal:",
            f'  curl -N {bearer} "{url}/sse?channel=public:all"',
            f'  curl -s {bearer} {_JSON} -d \'{{"data": "hello"}}\' {url}/v1/channels/public:all/messages',
            "",
            "  Ctrl-C stops it.",
            "",
        ]
    )
