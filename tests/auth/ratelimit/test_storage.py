"""Counts in PostgreSQL: shared, right under load, bounded in size, and what the library expects of a storage."""

import asyncio
import random
from time import time

import asyncpg
import pytest
from limits import parse
from limits.aio.strategies import FixedWindowRateLimiter

from service.auth.ratelimit.storage import Hit, RateLimitStorage
from service.database import Database, DatabaseOptions, ScopedConnection

ADD_EXPIRED = """
    INSERT INTO rate_limits (key, hits, expires_at)
    SELECT sha256(number::text::bytea), 1, now() - interval '1 second' FROM generate_series(1, $1::integer) AS number
"""
FROM_HERE_ON_EXPIRED = "UPDATE rate_limits SET expires_at = statement_timestamp()"
MINUTE = parse("3/minute")


@pytest.fixture
def storage(connection: ScopedConnection) -> RateLimitStorage:
    """A storage on a database of this test's own."""
    return RateLimitStorage(connection)


def _hit(key: str, amount: int = 3, *, first: bool = True) -> Hit:
    return Hit(key=key, amount=amount, seconds=60, first=first)


async def test_past_the_first_limit_the_rest_is_not_counted(database: Database, storage: RateLimitStorage) -> None:
    """A client that is refused uses up nothing of the addresses that it tries."""
    hits = [_hit("client", 2), _hit("address", first=False)]
    async with database.scope("hits"):
        for expected in (1, 2):
            assert (await storage.hit(hits))["address"].hits == expected
        refused = await storage.hit(hits)
        assert list(refused) == ["client"]
        assert await storage.get("address") == 2


async def test_a_window_ends_by_the_servers_clock_and_not_by_more_hits(
    database: Database, connection: ScopedConnection, storage: RateLimitStorage
) -> None:
    """It lasts from its first hit; the first one after it begins a new one, in which nothing was counted yet."""
    async with database.scope("hits"):
        first = (await storage.hit([_hit("a")]))["a"]
        second = (await storage.hit([_hit("a")], 5))["a"]
        assert (first.hits, second.hits) == (1, 6)
        assert 0 < second.seconds_left < first.seconds_left <= 60
        await connection.execute(FROM_HERE_ON_EXPIRED)
        third = (await storage.hit([_hit("a")]))["a"]
        assert third.hits == 1
        assert third.seconds_left > second.seconds_left - 1


async def test_fifty_hits_at_once_on_two_pools_count_fifty(
    database: Database, connection: ScopedConnection, clone_dsn: str
) -> None:
    """Two workers share their counts, and no hit is lost between them."""
    other = Database(DatabaseOptions(min_size=1, max_size=4))
    await other.open(clone_dsn)

    async def hit(on: Database) -> int:
        async with on.scope("hit"):
            return await RateLimitStorage(ScopedConnection(on)).incr("a", 60)

    try:
        counts = await asyncio.gather(*(hit(random.choice([database, other])) for _ in range(50)))
    finally:
        await other.close()
    assert sorted(counts) == list(range(1, 51))


async def test_hits_of_the_same_keys_in_any_order_never_wait_for_each_other(
    database: Database, storage: RateLimitStorage
) -> None:
    """Keys are locked in one order: no deadlock, and all are counted."""
    keys = [str(number) for number in range(10)]

    async def hit() -> None:
        async with database.scope("hit"):
            shuffled = random.sample(keys, len(keys))
            await storage.hit([_hit(key, 1000, first=int(key) % 2 == 0) for key in shuffled])

    await asyncio.gather(*(hit() for _ in range(60)))
    async with database.scope("look"):
        assert {await storage.get(key) for key in keys} == {60}


async def test_rows_that_are_removed_and_counted_anew_at_once_never_wait_for_each_other(
    database: Database, storage: RateLimitStorage
) -> None:
    """Windows of no length: every hit finds rows of the others to remove, and the others want them back."""

    async def hit() -> None:
        async with database.scope("hit"):
            for _ in range(10):
                keys = random.sample(range(15), 8)
                await storage.hit([Hit(key=str(key), amount=1, seconds=0, first=key % 2 == 0) for key in keys])

    await asyncio.gather(*(hit() for _ in range(30)))


async def test_a_hit_removes_a_few_expired_rows_and_no_others(
    database: Database, connection: ScopedConnection, storage: RateLimitStorage
) -> None:
    """Ten at a time, until only windows that run are left."""
    async with database.scope("hits"):
        await connection.execute(ADD_EXPIRED, 25)
        left = []
        for _ in range(4):
            await storage.incr("a", 60)
            left.append(await connection.fetchval("SELECT count(*) FROM rate_limits"))
        assert left == [16, 6, 1, 1]
        assert await storage.get("a") == 4


async def test_expired_rows_that_somebody_has_are_passed_over(
    database: Database, connection: ScopedConnection, storage: RateLimitStorage
) -> None:
    """Cleaning waits for nobody."""
    async with database.scope("locks"):
        await connection.execute(ADD_EXPIRED, 5)
        async with connection.transaction():
            await connection.execute("SELECT FROM rate_limits LIMIT 2 FOR UPDATE")
            async with database.scope("hits"), asyncio.timeout(60):
                await storage.incr("a", 60)
        assert await connection.fetchval("SELECT count(*) FROM rate_limits") == 2 + 1


async def test_a_key_of_any_length_takes_32_bytes(
    database: Database, connection: ScopedConnection, storage: RateLimitStorage
) -> None:
    """What a client sends is never stored, be it ever so long or no text at all."""
    async with database.scope("hits"):
        assert await storage.incr("a" * 1_000_000, 60) == 1
        assert await storage.incr("\udfff\x00", 60) == 1
        assert await connection.fetchval("SELECT array_agg(length(key)) FROM rate_limits") == [32, 32]
    async with database.scope("short"):
        with pytest.raises(asyncpg.CheckViolationError, match="rate_limits_key_length"):
            await connection.execute("INSERT INTO rate_limits VALUES ('short', 1, now())")


async def test_the_librarys_own_limiter_works_on_it(database: Database, storage: RateLimitStorage) -> None:
    """All that the library asks of a storage is there."""
    limiter = FixedWindowRateLimiter(storage)
    async with database.scope("library"):
        assert await storage.check()
        assert (await limiter.get_window_stats(MINUTE, "a")).remaining == 3
        assert [await limiter.hit(MINUTE, "a") for _ in range(4)] == [True, True, True, False]
        assert not await limiter.test(MINUTE, "a")
        reset_time, remaining = await limiter.get_window_stats(MINUTE, "a")
        assert (remaining, 0 < reset_time - time() < 61) == (0, True)
        await limiter.clear(MINUTE, "a")
        assert await limiter.hit(MINUTE, "a", cost=3)
        assert await storage.reset() == 1
        assert await limiter.test(MINUTE, "a", cost=3)
