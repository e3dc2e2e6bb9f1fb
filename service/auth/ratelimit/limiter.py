"""Limits attempts to register and to sign in, per e-mail address and per client."""

import math
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, ip_address

from limits import RateLimitItem, parse_many

from service.auth.addresses import address_key
from service.auth.ratelimit.settings import Action, RateLimitSettings
from service.auth.ratelimit.storage import Hit, RateLimitStorage
from service.errors import TooManyRequests

_HOST_BITS = 64
"""Bits of an IPv6 address that a client can choose: one with an address of a /64 has the whole /64."""


class AttemptLimiter:
    """Counts attempts, successful or not, in windows that all workers and machines share."""

    def __init__(self, storage: RateLimitStorage, settings: RateLimitSettings) -> None:
        self._storage = storage
        self._enabled = settings.enabled
        self._limits = {
            action: tuple(parse_many(text) for text in texts) for action, texts in settings.of_attempts.items()
        }

    async def check(self, action: Action, *, address: str, client: str | None) -> None:
        """Count an attempt. Raises `TooManyRequests` if there were too many.

        Call it before any transaction: inside one, a rollback would undo the count. An attempt that the client's limit
        refuses does not count for the address, so that one client cannot lock out the owners of many addresses.

        Args:
            action: The action that is attempted.
            address: An e-mail address; all its spellings count as one.
            client: The client's IP address. `None` if it is unknown: then only the limit per address applies.
        """
        if not self._enabled:
            return
        hits = list(self._hits(action, address, client))
        windows = await self._storage.hit(hits)
        exceeded = [
            windows[hit.key].seconds_left for hit in hits if hit.key in windows and windows[hit.key].hits > hit.amount
        ]
        if exceeded:
            raise TooManyRequests(retry_after=max(1, math.ceil(max(exceeded))))

    def _hits(self, action: Action, address: str, client: str | None) -> Iterator[Hit]:
        per_address, per_client = self._limits[action]
        if client is not None:
            yield from _each(per_client, action, "client", network(client), first=True)
        yield from _each(per_address, action, "address", address_key(address), first=client is None)


def _each(limits: Sequence[RateLimitItem], *identifiers: str, first: bool) -> Iterator[Hit]:
    for limit in limits:
        yield Hit(key=limit.key_for(*identifiers), amount=limit.amount, seconds=limit.get_expiry(), first=first)


def network(client: str) -> str:
    """Return the network that counts as one client: an IPv4 address, an IPv6 /64, or any other text unchanged."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS)}/64"
