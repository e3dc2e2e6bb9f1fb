"""`Idempotency.once`: what is kept, for whom, for how long, and what happens when it goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256

import asyncpg
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from service.database import Database, DatabaseUnavailable, ScopedConnection
from service.idempotency.errors import KeyInUse, KeyUsedOtherwise
from service.idempotency.keys import Idempotency, IdempotentRequest, fingerprint
from service.idempotency.settings import IdempotencySettings

OLD, NEW = b"old secret", b"new secret"


def _content(said: bytes) -> Callable[[], Awaitable[bytes]]:
    async def content() -> bytes:
        return said

    return content


REQUEST = IdempotentRequest(key="first", content=_content(b"POST /users/\n{}"), caller=7)


class Made(BaseModel):
    """What the work of these tests answers."""

    model_config = ConfigDict(frozen=True)

    id: int


class Maker:
    """Work that makes a user, and counts how often it was begun."""

    def __init__(self, connection: ScopedConnection) -> None:
        self.connection = connection
        self.runs = 0

    async def make(self) -> Made:
        self.runs += 1
        email = f"{self.runs}@example.com"
        sql = "INSERT INTO users (email, password_hash) VALUES ($1, 'x') RETURNING id"
        return Made(id=await self.connection.fetchval(sql, email))

    async def rows(self) -> tuple[int, int]:
        """How many users and how many keys there are."""
        users = await self.connection.fetchval("SELECT count(*) FROM users")
        return users, await self.connection.fetchval("SELECT count(*) FROM idempotency_keys")


@pytest.fixture
def maker(connection: ScopedConnection) -> Maker:
    """Work on a database of this test's own."""
    return Maker(connection)


def _idempotency(connection: ScopedConnection, *keys: bytes, patience: float = 30) -> Idempotency:
    secrets = [SecretStr(key.decode()) for key in keys or (OLD,)]
    return Idempotency(connection, IdempotencySettings(ttl_seconds=3600), secrets=secrets, patience=patience)


async def _once(
    database: Database, maker: Maker, idempotency: Idempotency, request: IdempotentRequest | None = REQUEST
) -> Made:
    async with database.scope("once"):
        return await idempotency.once(request, Made, maker.make, about=lambda made: made.id)


async def test_work_that_fails_frees_the_key(database: Database, maker: Maker) -> None:
    """What it did and the key go together, and the next request is the first."""
    idempotency = _idempotency(maker.connection)

    async def fail() -> Made:
        await maker.make()
        raise LookupError

    async with database.scope("fails"):
        with pytest.raises(LookupError):
            await idempotency.once(REQUEST, Made, fail, about=lambda made: made.id)
        assert await maker.rows() == (0, 0)
    await _once(database, maker, idempotency)
    async with database.scope("look"):
        assert await maker.rows() == (1, 1)


async def test_an_answer_that_cannot_be_kept_undoes_the_work(database: Database, maker: Maker) -> None:
    """No work is done whose repetition would not be known."""
    async with database.scope("fails"):
        with pytest.raises(asyncpg.ForeignKeyViolationError, match="idempotency_keys_user_id_fkey"):
            await _idempotency(maker.connection).once(REQUEST, Made, maker.make, about=lambda _: 1_000_000)
        assert await maker.rows() == (0, 0)


async def test_a_backend_that_dies_in_the_work_leaves_nothing(database: Database, maker: Maker) -> None:
    """The next request makes exactly one row."""

    async def die() -> Made:
        made = await maker.make()
        async with database.scope("murder"):
            await maker.connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            )
        return made

    idempotency = _idempotency(maker.connection)
    async with database.scope("dies"):
        with pytest.raises(DatabaseUnavailable):
            await idempotency.once(REQUEST, Made, die, about=lambda made: made.id)
    made = await _once(database, maker, idempotency)
    assert await _once(database, maker, idempotency) == made
    async with database.scope("look"):
        assert await maker.rows() == (1, 1)


async def test_who_waits_too_long_for_the_first_is_told_so(database: Database, maker: Maker) -> None:
    """`KeyInUse`, and nothing is done twice; the first is not disturbed."""
    working, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> Made:
        working.set()
        await go_on.wait()
        return await maker.make()

    async def first() -> Made:
        async with database.scope("first"):
            return await _idempotency(maker.connection).once(REQUEST, Made, slowly, about=lambda made: made.id)

    running = asyncio.create_task(first())
    await working.wait()
    with pytest.raises(KeyInUse):
        await _once(database, maker, _idempotency(maker.connection, patience=0.1))
    waiting = asyncio.create_task(_once(database, maker, _idempotency(maker.connection)))
    go_on.set()
    assert await running == await waiting
    assert maker.runs == 1


async def test_who_waits_for_the_first_holds_no_connection(database: Database, maker: Maker) -> None:
    """Behind a slow one, twice as many repetitions as the pool has connections wait, and others are served; then all agree."""
    working, go_on = asyncio.Event(), asyncio.Event()
    idempotency = _idempotency(maker.connection)

    async def slowly() -> Made:
        working.set()
        await go_on.wait()
        return await maker.make()

    async def first() -> Made:
        async with database.scope("first"):
            return await idempotency.once(REQUEST, Made, slowly, about=lambda made: made.id)

    running = asyncio.create_task(first())
    await working.wait()
    waiting = [asyncio.create_task(_once(database, maker, idempotency)) for _ in range(8)]
    await asyncio.sleep(0)  # they begin
    async with database.scope("other"):
        assert await maker.rows() == (0, 0)
    go_on.set()
    assert set(await asyncio.gather(*waiting)) == {await running}
    assert maker.runs == 1


async def test_keys_of_different_callers_are_different_keys(database: Database, maker: Maker) -> None:
    """Nobody gets another's answer, nor does nobody's request meet a user's."""
    idempotency = _idempotency(maker.connection)
    callers = [replace(REQUEST, caller=caller) for caller in (7, 8, None)]
    made = [await _once(database, maker, idempotency, request) for request in callers]
    assert len({one.id for one in made}) == 3
    assert [await _once(database, maker, idempotency, request) for request in callers] == made


async def test_a_secret_can_be_changed_while_keys_live(database: Database, maker: Maker) -> None:
    """Old and new in force: what the old one marked is known. With the new one alone, it is another request."""
    made = await _once(database, maker, _idempotency(maker.connection, OLD))
    assert await _once(database, maker, _idempotency(maker.connection, NEW, OLD)) == made
    with pytest.raises(KeyUsedOtherwise):
        await _once(database, maker, _idempotency(maker.connection, NEW))
    assert maker.runs == 1


async def test_a_body_cannot_be_guessed_from_what_is_stored(database: Database, maker: Maker) -> None:
    """Only the answer is stored as it is; the fingerprint takes the secret to make, and is no plain hash."""
    said = b'{"password": "correct horse"}'
    request = replace(REQUEST, content=_content(said))
    await _once(database, maker, _idempotency(maker.connection, OLD), request)
    async with database.scope("look"):
        row = await maker.connection.fetchrow("SELECT * FROM idempotency_keys")
    assert row is not None
    assert row["fingerprint"] == fingerprint(said, OLD) != fingerprint(said, NEW)
    assert row["fingerprint"] != sha256(said).digest()
    assert "correct horse" not in str(row)
    assert "correct horse" not in repr(request)


async def test_an_expired_key_is_free_again(database: Database, maker: Maker) -> None:
    """For another request, too; and it is kept as long as a new one."""
    idempotency = _idempotency(maker.connection)
    first = await _once(database, maker, idempotency)
    async with database.scope("time passes"):
        await maker.connection.execute("UPDATE idempotency_keys SET expires_at = statement_timestamp()")
    other = replace(REQUEST, content=_content(b"other"))
    second = await _once(database, maker, idempotency, other)
    assert first != second == await _once(database, maker, idempotency, other)


async def test_work_removes_a_few_expired_keys_and_no_others(database: Database, maker: Maker) -> None:
    """Ten at a time; one that somebody has is passed over."""
    expired = """
        INSERT INTO idempotency_keys (caller, key, fingerprint, expires_at)
        SELECT 0, number, sha256('x'), now() - interval '1 second' FROM generate_series(1, 14) AS number
    """
    idempotency = _idempotency(maker.connection)
    async with database.scope("look"):
        await maker.connection.execute(expired)
        async with maker.connection.transaction():
            await maker.connection.execute("SELECT FROM idempotency_keys LIMIT 1 FOR UPDATE")
            left = []
            for number in range(3):
                await _once(database, maker, idempotency, replace(REQUEST, key=f"k{number}"))
                left.append(await maker.connection.fetchval("SELECT count(*) FROM idempotency_keys"))
    assert left == [14 + 1 - 10, 5 + 1 - 3, 4]


async def test_an_answer_goes_with_the_user_whose_data_it_holds(database: Database, maker: Maker) -> None:
    """Deleting the user leaves no copy of it behind."""
    made = await _once(database, maker, _idempotency(maker.connection))
    await _once(database, maker, _idempotency(maker.connection), replace(REQUEST, key="other"))
    async with database.scope("delete"):
        await maker.connection.execute("DELETE FROM users WHERE id = $1", made.id)
        assert await maker.rows() == (1, 1)


async def test_without_a_key_it_is_the_work_alone(database: Database, maker: Maker) -> None:
    """One statement, no transaction, nothing kept."""
    await _once(database, maker, _idempotency(maker.connection), None)
    before = database.stats().totals
    await _once(database, maker, _idempotency(maker.connection), None)
    after = database.stats().totals
    assert (after.leases - before.leases, after.statements - before.statements) == (1, 1)
    async with database.scope("look"):
        assert await maker.rows() == (2, 0)
