"""Opening a connection to the first of a DSN's hosts that will do."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from service.database.failures import breaks_connection


async def connect(dsn: str | None, *, timeout: float, **arguments: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """`asyncpg.connect`, with a share of `timeout` for each host of the DSN.

    asyncpg has one limit for all of them: a first host that is gone without a word would use it up, and the second, to
    which a standby was promoted, would never be asked.
    """
    *others, last = _each_host(dsn)
    share = timeout / (len(others) + 1)
    for host in others:
        try:
            return await asyncpg.connect(host, timeout=share, **arguments)
        except Exception as error:
            if not breaks_connection(error):
                raise
    return await asyncpg.connect(last, timeout=share, **arguments)


def _each_host(dsn: str | None) -> Iterator[str | None]:
    """The DSN once for each host, in their order. One that prefers a standby has to see all its hosts at once."""
    if dsn is None or "," not in urlsplit(dsn).netloc or "prefer-standby" in dsn:
        yield dsn
        return
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    for host in hosts.split(","):
        yield parts._replace(netloc=f"{user}{at}{host}").geturl()
