"""What lists and look-ups cost on full tables: index scans that touch as little for the last page as for the first.

Each statement is tried with the plan for its parameters, and with the plan for any, to which PostgreSQL may change for a
prepared statement.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import pytest

from service.auth.ratelimit.storage import GET, HIT
from service.auth.repository import GET_ACCOUNT, GET_CALLER, RENEW_HASH
from service.idempotency.keys import CLAIM_KEY, GET_ANSWER, STORE_ANSWER
from service.items.bulk.repository import OWNED_AS_JSON
from service.items.repository import (
    DELETE_ITEM,
    GET_ITEM,
    INSERT_ITEM,
    LIST_ITEMS,
    LIST_ITEMS_OF_OWNER,
    OWNER_EXISTS,
    UPDATE_ITEM,
)
from service.users.repository import (
    DELETE_USER,
    GET_HASH,
    GET_USER_WITH_ITEMS,
    LIST_USERS_WITH_ITEMS,
    LOCK_ADMINS,
    MAKE_ADMIN,
    UPDATE_HASH,
    UPDATE_USER,
)
from tests.support.sql import execute

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ROWS = 50_000
IMPORTER = 1
"""A user who came to items late, and imported as many as all others have together."""
OWNER = 1 + 7 * 7919 % ROWS
"""Of item 7. Owners are in another order than their items, which tells PostgreSQL that an owner's items lie far apart."""
STALE = ["0" * 32]
"""The tag of no version."""
LIMIT = 101
"""A page of 100, and the row that says whether there are more."""

LOAD = f"""
    INSERT INTO users (email, password_hash) SELECT n || '@example.com', 'x' FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO items (title, owner_id) SELECT 'A pen', 1 + n * 7919 % {ROWS} FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO items (title, owner_id) SELECT 'A cup', {IMPORTER} FROM generate_series(1, {ROWS});
    INSERT INTO rate_limits SELECT sha256(n::text::bytea), 1, now() + '1 hour' FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO idempotency_keys (caller, key, expires_at) SELECT n, n, now() + '1 hour' FROM generate_series(1, {ROWS}) AS n;
    ANALYZE;
"""

LOOK_UPS = {
    "users.get": (GET_USER_WITH_ITEMS, (7,)),
    "users.update": (UPDATE_USER, (7, "seven@example.com", False, None, None)),
    "users.update, of a version": (UPDATE_USER, (7, "seven@example.com", False, None, STALE)),
    "users.make_admin": (MAKE_ADMIN, (7,)),
    "users.password_hash": (GET_HASH, (7,)),
    "users.change_password": (UPDATE_HASH, (7, 0, "y", None)),
    "users.delete": (DELETE_USER, (7, None)),
    "users.delete, of a version": (DELETE_USER, (7, STALE)),
    "users.is_last_admin": (LOCK_ADMINS, (7,)),
    "items.get, an admin": (GET_ITEM, (7, None)),
    "items.get": (GET_ITEM, (7, OWNER)),
    "items.update, an admin": (UPDATE_ITEM, (7, None, "A cup", True, None, None)),
    "items.update": (UPDATE_ITEM, (7, OWNER, "A cup", False, None, None)),
    "items.update, of a version": (UPDATE_ITEM, (7, OWNER, "A cup", False, None, STALE)),
    "items.delete, an admin": (DELETE_ITEM, (7, None, None)),
    "items.delete": (DELETE_ITEM, (7, OWNER, None)),
    "items.delete, of a version": (DELETE_ITEM, (7, OWNER, STALE)),
    "items.add": (INSERT_ITEM, ("A cup", None, 7)),
    "items.owner_exists": (OWNER_EXISTS, (7,)),
    "items.as_json": (OWNED_AS_JSON, (7,)),
    "auth.with_email": (GET_ACCOUNT, ("7@example.com",)),
    "auth.renew_hash": (RENEW_HASH, (7, "x", "y")),
    "auth.caller": (GET_CALLER, (7, 0)),
    "ratelimit.get": (GET, (b"7",)),
    "ratelimit.hit": (HIT, ([b"7" * 32], [10], [60], [True], 1)),
    "idempotency.claim": (CLAIM_KEY, (7, "7", 60)),
    "idempotency.answer": (GET_ANSWER, (7, "7")),
    "idempotency.store": (STORE_ANSWER, (7, "7", b"7" * 32, "{}", 7)),
}


@dataclass
class Plan:
    """What PostgreSQL did for a statement."""

    nodes: list[dict[str, Any]]

    @property
    def scanned_whole(self) -> list[str]:
        """Tables that were read from end to end."""
        return [node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"]

    @property
    def blocks(self) -> int:
        """Blocks that were looked at, of tables and of indexes."""
        return int(self.nodes[0]["Shared Hit Blocks"] + self.nodes[0]["Shared Read Blocks"])

    @property
    def thrown_away(self) -> int:
        """Rows that were read and did not fit."""
        return int(sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in self.nodes))


@pytest.fixture(scope="module")
def full_dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A database with many rows in each table."""
    asyncio.run(execute(server_dsn, f"CREATE DATABASE full_tables TEMPLATE {template}"))
    dsn = server_dsn.replace("/postgres?", "/full_tables?")
    asyncio.run(execute(dsn, LOAD))
    yield dsn
    asyncio.run(execute(server_dsn, "DROP DATABASE full_tables WITH (FORCE)"))


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def full(full_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Connection]:
    """A connection to full tables, in a transaction that is rolled back; with the plan for the parameters, or for any."""
    connection = await asyncpg.connect(full_dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(f"SET LOCAL plan_cache_mode = {request.param}")
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.mark.parametrize("name", LOOK_UPS)
async def test_a_look_up_touches_few_blocks(full: Connection, name: str) -> None:
    """By an index, whatever else is in the table."""
    plan = await _plan(full, *LOOK_UPS[name])
    assert plan.scanned_whole == []
    assert plan.blocks < 100


@pytest.mark.parametrize(
    ("statement", "start", "end", "others"),
    [
        (
            LIST_USERS_WITH_ITEMS,
            IMPORTER,
            ROWS,
            (),
        ),  # beyond the one with all those items: a user is given with its items
        (LIST_ITEMS, 0, 2 * ROWS, ()),
        (LIST_ITEMS_OF_OWNER, 0, 2 * ROWS, (IMPORTER,)),
    ],
    ids=["users", "items", "items of one owner"],
)
async def test_the_last_page_by_key_costs_what_the_first_does(
    full: Connection, statement: str, start: int, end: int, others: Sequence[Any]
) -> None:
    """The same rows are touched but for an index's depth, and none is read and thrown away."""
    first = await _plan(full, statement, (start, 0, LIMIT, *others))
    last = await _plan(full, statement, (end - LIMIT - 1, 0, LIMIT, *others))
    for plan in (first, last):
        assert plan.scanned_whole == []
        assert plan.thrown_away == 0
        assert LIMIT <= plan.nodes[0]["Actual Rows"] <= 2 * LIMIT  # a user without items is a row, one with two is two
    assert last.blocks <= first.blocks + 20


async def test_a_page_of_an_owner_of_few_items_does_not_look_at_those_of_others(
    full: Connection,
) -> None:
    """Beyond the one item there are a hundred thousand of other users."""
    plan = await _plan(full, LIST_ITEMS_OF_OWNER, (0, 0, LIMIT, 7))
    assert plan.scanned_whole == []
    assert plan.thrown_away == 0
    assert plan.blocks < 10


async def _plan(connection: Connection, statement: str, arguments: Sequence[Any]) -> Plan:
    """Prepare and explain: EXPLAIN of a statement with parameters would only ever show the plan for these."""
    await connection.execute("DEALLOCATE ALL")
    await connection.execute(f"PREPARE asked AS {statement}")
    literals = ", ".join(map(_literal, arguments))
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({literals})"
    return Plan(list(_nodes(json.loads(await connection.fetchval(explained))[0]["Plan"])))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return "NULL" if value is None else f"'{value}'" if isinstance(value, str) else str(value)
