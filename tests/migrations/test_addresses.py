"""The revision that gives every stored address its key, on tables as the revision before left them."""

import asyncpg
import pytest

from service.auth.addresses import address_key
from service.auth.repository import GET_ACCOUNT
from service.migrations import MigrationError, runner
from service.migrations.turn import Connect

NASTY = [
    "ada@example.com",
    "GRACE@Example.com",
    "b\u0130ll\u0130ng@example.com",
    "b\u0131lling@example.com",
    "straße@example.com",
    "νίκος@example.com",
    "\uff4cin@example.com",
    "jose\u0301@example.com",
    "ada@xn--bcher-kva.example.com",
    "LIN@ＥＸＡＭＰＬＥ.org",
    " spaces@example.com ",
    "no address at all",
    "two@@example.com",
    '"quoted one"@example.com',
    "\U0001f600@example.com",
    "\u1fb7" * 254,
]
COLLIDING = [
    ("straße@example.com", "STRASSE@example.com"),
    ("jose\u0301@example.com", "josé@example.com"),
    ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
    ("νίκοσ@example.com", "νίκος@example.com"),
    ("spaces@example.com", " spaces@example.com"),
]


@pytest.fixture
async def connect(empty_dsn: str) -> Connect:
    """Connects to a database as the revision before left it, with an item to see that nothing is lost."""
    await runner.migrate(lambda: asyncpg.connect(empty_dsn), "0005")
    return lambda: asyncpg.connect(empty_dsn)


async def _insert(connect: Connect, emails: list[str]) -> None:
    connection = await connect()
    await connection.executemany("INSERT INTO users (email, password_hash) VALUES ($1, 'x')", [(e,) for e in emails])
    await connection.execute("INSERT INTO items (title, owner_id) SELECT 'of ' || id, id FROM users")
    await connection.close()


async def _stored(connect: Connect) -> list[asyncpg.Record]:
    connection = await connect()
    try:
        columns = "users.id, email, password_hash, is_active, is_admin, token_version, title"
        return await connection.fetch(
            f"SELECT {columns} FROM users JOIN items ON owner_id = users.id ORDER BY users.id"
        )
    finally:
        await connection.close()


async def test_every_stored_address_is_found_by_its_key(connect: Connect) -> None:
    """And by its spelling; nothing else of the rows has changed, on the way up and down and up again."""
    await _insert(connect, NASTY)
    before = await _stored(connect)
    await runner.migrate(connect, "0006")
    await runner.migrate(connect, "0005")
    assert await _stored(connect) == before
    await runner.migrate(connect, "0006")
    assert await _stored(connect) == before
    connection = await connect()
    for row in before:
        found = await connection.fetch(GET_ACCOUNT, address_key(row["email"]))
        assert [account["id"] for account in found] == [row["id"]], row["email"]
    await connection.close()


@pytest.mark.parametrize(("one", "other"), COLLIDING)
async def test_addresses_that_collide_are_named_and_nothing_is_changed(connect: Connect, one: str, other: str) -> None:
    """With the users' ids, and what to do; once one of them has another address, the migration goes through."""
    await _insert(connect, ["first@example.com", one, "between@example.com", other])
    before = await _stored(connect)
    with pytest.raises(MigrationError, match="nothing was changed") as refused:
        await runner.migrate(connect)
    assert str(refused.value).splitlines()[1:] == [f"users 2 ({one}), 4 ({other})"]
    assert await runner.current(connect) == "0005"
    assert await _stored(connect) == before
    connection = await connect()
    await connection.execute("UPDATE users SET email = 'other@example.com' WHERE id = 4")
    await connection.close()
    await runner.migrate(connect)


async def test_the_way_back_names_addresses_that_were_one_before(connect: Connect) -> None:
    """Where PostgreSQL's lower() takes U+0130 for an i, as it does in most locales, two users of now cannot be kept."""
    await runner.migrate(connect, "0006")
    connection = await connect()
    if await connection.fetchval("SELECT lower('\u0130') <> 'i'"):
        pytest.skip("the locale of this PostgreSQL keeps U+0130 apart from i")
    register = "INSERT INTO users (email, password_hash, email_key) VALUES ($1, 'x', $2)"
    await connection.execute(register, "billing@example.com", None)
    await connection.execute(register, "b\u0130lling@example.com", address_key("b\u0130lling@example.com"))
    await connection.close()
    with pytest.raises(MigrationError, match="nothing was changed") as refused:
        await runner.migrate(connect, "0005")
    assert str(refused.value).splitlines()[1:] == ["users 1 (billing@example.com), 2 (b\u0130lling@example.com)"]
    assert await runner.current(connect) == "0006"


async def test_of_many_collisions_fifty_are_named(connect: Connect) -> None:
    """And the number of the others."""
    await _insert(connect, [f"{name}{number}@example.com" for number in range(60) for name in ("straße", "strasse")])
    with pytest.raises(MigrationError) as refused:
        await runner.migrate(connect)
    lines = str(refused.value).splitlines()
    assert (len(lines), lines[-1]) == (52, "and 10 more")


async def test_more_addresses_than_are_read_at_once(connect: Connect) -> None:
    """Each has its key."""
    connection = await connect()
    await connection.execute(
        "INSERT INTO users (email, password_hash) SELECT 'É' || n || '@example.com', 'x' FROM generate_series(1, 20001) AS n"
    )
    await runner.migrate(connect)
    wrong = "SELECT count(*) FROM users WHERE email_key IS DISTINCT FROM 'é' || id || '@example.com'"
    assert await connection.fetchval(wrong) == 0
    await connection.close()


async def test_the_version_before_writes_ascii_addresses_and_no_other(connect: Connect) -> None:
    """Its registrations are found by this version; it is refused an address whose key it does not know."""
    await runner.migrate(connect)
    connection = await connect()
    register = "INSERT INTO users (email, password_hash) VALUES ($1, 'x') RETURNING id"
    user_id = await connection.fetchval(register, "Ada@example.com")
    assert await connection.fetchval(GET_ACCOUNT, address_key("ADA@example.com")) == user_id
    await connection.execute("UPDATE users SET email = 'Countess@example.com' WHERE id = $1", user_id)
    assert await connection.fetchval(GET_ACCOUNT, address_key("countess@example.com")) == user_id
    with pytest.raises(asyncpg.UniqueViolationError, match="users_email_key"):
        await connection.fetchval(register, "COUNTESS@example.com")
    for statement in ("INSERT INTO users (email, password_hash) VALUES ('josé@example.com', 'x')",
                      "UPDATE users SET email = 'josé@example.com'"):  # fmt: skip
        with pytest.raises(asyncpg.CheckViolationError, match="users_email_key_present"):
            await connection.execute(statement)
    await connection.close()


async def test_the_printed_sql_refuses_addresses_whose_keys_it_cannot_make(connect: Connect) -> None:
    """It says what to run; without such addresses it goes through."""
    script = runner.sql("0006").partition("-- Running upgrade 0005 -> 0006")[2].partition("\n")[2]
    await _insert(connect, ["ada@example.com", "josé@example.com"])
    connection = await connect()
    with pytest.raises(asyncpg.RaiseError, match="not ASCII") as refused:
        await connection.execute(f"BEGIN; {script}")
    assert "poolkeeper migrate" in str(refused.value.hint)
    await connection.execute("ROLLBACK")
    await connection.execute("DELETE FROM items WHERE owner_id = 2; DELETE FROM users WHERE id = 2")
    await connection.execute(f"BEGIN; {script}")
    assert await connection.fetchval(GET_ACCOUNT, "ada@example.com") == 1
    await connection.close()
