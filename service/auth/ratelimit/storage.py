"""Counts of the `limits` library in PostgreSQL."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from time import time

import asyncpg
from limits.aio.storage import Storage

from service.database import ScopedConnection

_RUNNING = "stored.expires_at > statement_timestamp()"

_COUNT = """
    INSERT INTO rate_limits AS stored (key, hits, expires_at)
    SELECT key, $5, statement_timestamp() + seconds * interval '1 second'
    FROM hit
    WHERE {condition}
    ORDER BY key
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN {running} THEN stored.hits ELSE 0 END + excluded.hits,
        expires_at = CASE WHEN {running} THEN stored.expires_at ELSE excluded.expires_at END
    RETURNING key, hits, expires_at
"""

_EXCEEDED = "EXISTS (SELECT FROM first JOIN hit USING (key) WHERE hits > amount)"

HIT = f"""
    WITH hit AS (
        SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::boolean[]) AS hit (key, amount, seconds, first)
    ), first AS ({_COUNT.format(condition="first", running=_RUNNING)}
    ), rest AS ({_COUNT.format(condition=f"NOT first AND NOT {_EXCEEDED}", running=_RUNNING)}
    ), counted AS (
        SELECT * FROM first UNION ALL SELECT * FROM rest
    ), cleaned AS (
        DELETE FROM rate_limits
        WHERE (SELECT count(*) FROM counted) > 0 AND key IN (
            SELECT key FROM rate_limits
            WHERE expires_at <= statement_timestamp() AND key <> ALL ($1)
            LIMIT 10
            FOR UPDATE SKIP LOCKED
        )
    )
    SELECT key, hits, extract(epoch FROM expires_at - statement_timestamp())::float8 AS seconds_left
    FROM counted
"""  # noqa: S608 - of literals
"""Counts an attempt under all its keys in one statement.

Keys are locked in one order, so that two attempts cannot deadlock. Expired rows are locked last, and rows that others have
locked are skipped. Each statement can delete more rows than it adds, so the table does not grow without limit.
"""

GET = """
    SELECT hits, extract(epoch FROM expires_at)::float8 AS expires_at
    FROM rate_limits
    WHERE key = $1 AND expires_at > statement_timestamp()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One key to count. Hits of an attempt that are not `first` count only if the `first` ones stay within their `amount`."""

    key: str
    amount: int
    seconds: int
    first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The hits of a key since its window began, and the seconds until the window ends."""

    hits: int
    seconds_left: float


class RateLimitStorage(Storage):
    """Fixed windows that begin with their first hit, by the server's clock. One upsert counts a hit and holds locks briefly.

    The library's moving windows would need a row for each hit. Keys are stored as hashes, so that no client can store long
    ones. Each method raises as `ScopedConnection` does.
    """

    STORAGE_SCHEME = None

    def __init__(self, connection: ScopedConnection) -> None:
        super().__init__()
        self._connection = connection

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return the error that the library wraps if it is asked to."""
        return asyncpg.PostgresError

    async def hit(self, hits: Iterable[Hit], cost: int = 1) -> dict[str, Window]:
        """Count all hits in one statement. Return the windows of the counted hits, by key."""
        by_key = {_stored(hit.key): hit for hit in hits}
        columns = zip(*((key, hit.amount, hit.seconds, hit.first) for key, hit in by_key.items()), strict=True)
        rows = await self._connection.fetch(HIT, *columns, cost)
        return {by_key[row["key"]].key: Window(hits=row["hits"], seconds_left=row["seconds_left"]) for row in rows}

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count `amount` hits of a key with a window of `expiry` seconds. Return the hits in the window."""
        return (await self.hit([Hit(key=key, amount=0, seconds=expiry)], amount))[key].hits

    async def get(self, key: str) -> int:
        """Return the hits in the key's window; 0 if no window is open."""
        row = await self._connection.fetchrow(GET, _stored(key))
        return row["hits"] if row else 0

    async def get_expiry(self, key: str) -> float:
        """Return the end of the key's window in seconds since 1970; the present if no window is open."""
        row = await self._connection.fetchrow(GET, _stored(key))
        return row["expires_at"] if row else time()

    async def check(self) -> bool:
        """Return whether the database answers."""
        return bool(await self._connection.fetchval("SELECT true"))

    async def reset(self) -> int:
        """Forget all keys. Return how many there were."""
        return int((await self._connection.execute("DELETE FROM rate_limits")).split()[1])

    async def clear(self, key: str) -> None:
        """Forget the hits of one key."""
        await self._connection.execute("DELETE FROM rate_limits WHERE key = $1", _stored(key))


def _stored(key: str) -> bytes:
    return sha256(key.encode(errors="surrogatepass")).digest()
