"""What a service trusts, put together from its settings: issuers, each with its own keys, and the audience."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple, Protocol

from pydantic import SecretStr

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.tokens import keys
from services.kernel.tokens.jwks import RemoteKeys
from services.kernel.tokens.keys import JoinedKeys, Keys, StaticKeys
from services.kernel.tokens.verifier import TrustedIssuer, Verifier


class Trust(NamedTuple):
    """`verifier` to ask; `remote` to run beside the service (`remote.run()`) and to close at its end."""

    verifier: Verifier
    remote: RemoteKeys


class Settings(Protocol):
    """What says whom to trust, as the services' settings do."""

    @property
    def public_url(self) -> str:
        """The issuer of our own auth."""

    @property
    def jwks_urls(self) -> Sequence[str]:
        """Where key sets are fetched."""

    @property
    def issuers(self) -> Sequence[str]:
        """Whose tokens count."""

    @property
    def scope_issuers(self) -> Sequence[str]:
        """Of whom `scope` and subjects of API clients count."""

    @property
    def audience(self) -> str:
        """Whom tokens must be for."""

    @property
    def subject_claim(self) -> str:
        """The claim that names the user, of issuers other than our own auth."""

    @property
    def max_token_ttl(self) -> int:
        """Seconds that a token may live at most."""

    @property
    def hs256_secret(self) -> SecretStr | None:
        """A secret shared with the first issuer: our own auth where that is listed."""


def of(settings: Settings, *, without: Container[str] = (), own: Keys | None = None) -> Trust:
    """What the settings trust. `own` are keys of this very process, `without` the URLs that would only fetch these.

    Raises `UntrustedKeyError` when the secret is too short, `ConfigurationError` when it is not plain whose a key set is.
    """
    issuers = tuple(dict.fromkeys(settings.issuers))
    main = settings.public_url if settings.public_url in issuers else issuers[0]
    secret = settings.hs256_secret
    urls = _urls_by_issuer(issuers, settings.jwks_urls, keyless=main if secret else None)
    remote = RemoteKeys([url for url in settings.jwks_urls if url not in without])
    mine: list[Keys] = [own] if own is not None else []
    if secret is not None:
        mine.append(StaticKeys([keys.secret(secret.get_secret_value())]))
    privileged = settings.scope_issuers or (main,)
    known = [
        TrustedIssuer(
            url,
            _joined(
                [
                    *(mine if url == main else ()),
                    *_remote(remote, urls[url], alone=len(issuers) == 1),
                ]
            ),
            subject="sub" if url == settings.public_url else settings.subject_claim,
            privileged=url in privileged,
        )
        for url in issuers
    ]
    return Trust(
        Verifier(known, audience=settings.audience, longest=settings.max_token_ttl), remote
    )


def check(settings: Settings) -> None:
    """Raises what `of` raises, without making anything that must be closed."""
    issuers = tuple(dict.fromkeys(settings.issuers))
    secret = settings.hs256_secret
    if secret is not None:
        keys.secret(secret.get_secret_value())
    main = settings.public_url if settings.public_url in issuers else issuers[0]
    _urls_by_issuer(issuers, settings.jwks_urls, keyless=main if secret else None)


def _joined(sources: Sequence[Keys]) -> Keys:
    # Asked at each publish and handshake whether it has changed: one source is not wrapped.
    return sources[0] if len(sources) == 1 else JoinedKeys(*sources)


def _remote(remote: RemoteKeys, urls: Sequence[str], *, alone: bool) -> Sequence[Keys]:
    if alone:
        return [remote]
    return [remote.only(urls)] if urls else []


def _urls_by_issuer(
    issuers: Sequence[str], urls: Sequence[str], *, keyless: str | None
) -> dict[str, tuple[str, ...]]:
    """Whose key set is where: all of one issuer, one for all issuers, or one each in their order.

    `keyless`, if any, may be left out, since a secret verifies its tokens.
    """
    if len(issuers) == 1:
        return {issuers[0]: tuple(urls)}
    others = [issuer for issuer in issuers if issuer != keyless]
    for owners in (issuers, others):
        if len(urls) == len(owners):
            return {
                issuer: (urls[owners.index(issuer)],) if issuer in owners else ()
                for issuer in issuers
            }
    if len(urls) == 1:
        return dict.fromkeys(issuers, tuple(urls))
    raise ConfigurationError(
        f"OPENLINE_JWKS_URLS names {len(urls)} key sets and OPENLINE_ISSUERS {len(issuers)} issuers: a key set belongs to "
        "one issuer; name one key set for each issuer, in the same order"
    )
