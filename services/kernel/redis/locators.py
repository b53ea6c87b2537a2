"""Which locator a URL asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from services.kernel.redis.access import Access, Passwords
from services.kernel.redis.cluster import Cluster
from services.kernel.redis.connections import Dial
from services.kernel.redis.locator import Fixed, Locator, Moved
from services.kernel.redis.sentinel import Sentinels
from services.kernel.redis.store_url import StoreUrl


def of(
    store: StoreUrl,
    partitions: Sequence[int] = (0,),
    *,
    moved: Moved = lambda _: None,
    silent: Callable[[int], None] = lambda _: None,
    masterless: Callable[[int], None] = lambda _: None,
    access: Access | None = None,
    passwords: Passwords | None = None,
) -> Locator:
    """The locator of the partitions of a store.

    `moved` and `silent` as `Sentinels` calls them, `moved` and `masterless` as `Cluster` does; a fixed server calls none.
    """
    if store.nodes:
        dial = partial(Dial, access=access, passwords=passwords)
        return Cluster(store, partitions, moved=moved, masterless=masterless, dial=dial)
    if store.sentinels:
        return Sentinels(store, partitions, moved=moved, silent=silent, access=access)
    return Fixed()
