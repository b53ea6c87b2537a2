"""What a service trusts, put together from its settings: key sets by URL, a shared secret, issuers, audience."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from services.kernel.tokens import keys
from services.kernel.tokens.jwks import RemoteKeys
from services.kernel.tokens.keys import JoinedKeys, Keys, StaticKeys
from services.kernel.tokens.verifier import Verifier


class Trust(NamedTuple):
    """`verifier` to ask; `remote` to run beside the service (`remote.run()`) and to close at its end."""

    verifier: Verifier
    remote: RemoteKeys


class Settings(Protocol):
    """What says whom to trust, as the services' settings do."""

    @property
    def jwks_urls(self) -> Sequence[str]:
        """Where key sets are fetched."""

    @property
    def issuers(self) -> Sequence[str]:
        """Whose tokens count."""

    @property
    def audience(self) -> str:
        """Whom tokens must be for."""

    @property
    def subject_claim(self) -> str:
        """The claim that names the user."""

    @property
    def hs256_secret(self) -> SecretStr | None:
        """A secret shared with an issuer."""


def of(settings: Settings, *, without: Container[str] = (), own: Keys | None = None) -> Trust:
    """What the settings trust. `own` are keys of this very process, `without` the URLs that would only fetch these.

    Raises `UntrustedKeyError` when the secret is too short.
    """
    secret = settings.hs256_secret
    return build(
        [url for url in settings.jwks_urls if url not in without],
        settings.issuers,
        audience=settings.audience,
        subject=settings.subject_claim,
        secret=secret.get_secret_value() if secret else None,
        own=own,
    )


def build(
    jwks_urls: Sequence[str],
    issuers: Sequence[str],
    *,
    audience: str,
    subject: str = "sub",
    secret: str | None = None,
    own: Keys | None = None,
) -> Trust:
    """`secret` is the text of an HS256 secret; `own` are keys of this very process.

    Raises `UntrustedKeyError` when the secret is too short.
    """
    remote = RemoteKeys(jwks_urls)
    sources: list[Keys] = [remote]
    if secret is not None:
        sources.insert(0, StaticKeys([keys.secret(secret)]))
    if own is not None:
        sources.insert(0, own)
    verifier = Verifier(JoinedKeys(*sources), issuers=issuers, audience=audience, subject=subject)
    return Trust(verifier, remote)
