"""Which locator a URL asks for."""

from __future__ import annotations

from collections.abc import Callable

from services.kernel.redis.locator import Fixed, Locator
from services.kernel.redis.sentinel import Sentinels
from services.kernel.redis.store_url import StoreUrl


def of(
    store: StoreUrl,
    *,
    moved: Callable[[], None] = lambda: None,
    silent: Callable[[int], None] = lambda _: None,
) -> Locator:
    """The locator of a store's master; `moved` and `silent` as `Sentinels` calls them, which a fixed server never does."""
    return Sentinels(store, moved=moved, silent=silent) if store.sentinels else Fixed()
