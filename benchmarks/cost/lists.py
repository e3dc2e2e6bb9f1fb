"""Measures lists and look-ups as tables grow, in calls of the repositories.

`python -m benchmarks.cost.lists docs/generated/performance/lists.md`; `--rows` sets other sizes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

import asyncpg

from benchmarks.cost.worker import machine
from benchmarks.harness.page import page_parser, publish
from benchmarks.harness.server import with_records
from service.auth.repository import AccountRepository
from service.database import Database, DatabaseOptions, ScopedConnection
from service.items.repository import ItemRepository
from service.users.repository import UserRepository

TIMES = 30
PAGE = 101
IMPORTER = 1
"""The id of a user who imported half of the items, after those of all others."""

GROW_USERS = """
    INSERT INTO users (email, password_hash)
    SELECT n || '@example.com', 'x' FROM generate_series($1::bigint, $2::bigint) AS n
"""
GROW_ITEMS = """
    INSERT INTO items (title, description, owner_id)
    SELECT 'Item ' || n, 'Of a benchmark', CASE WHEN n > $2 / 2 THEN $3 ELSE 1 + n * 7919 % $2 END
    FROM generate_series($1::bigint, $2::bigint) AS n
"""


def main() -> None:
    """Run, print and write the page."""
    parser = page_parser("benchmarks.cost.lists", __doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000, 10_000_000])
    arguments = parser.parse_args()
    where = machine()
    with with_records() as server:
        columns = [asyncio.run(_at(server.dsn, rows)) for rows in arguments.rows]
    names = [f"{rows:,} rows" for rows in arguments.rows]
    lines = [
        f"| {' | '.join(['', *names])} |",
        f"| --- |{' --: |' * len(names)}",
        *(f"| {' | '.join([what, *(f'{column[what]:.2f}' for column in columns)])} |" for what in columns[0]),
    ]
    text = (
        f"# Lists and look-ups as tables grow\n\nMilliseconds, medians of {TIMES}. {where}.\n\n"
        + "\n".join(lines)
        + "\n"
    )
    publish(text, arguments.page)


async def _at(dsn: str, rows: int) -> dict[str, float]:
    """Return milliseconds for tables of `rows` users and as many items."""
    await _fill(dsn, rows)
    database = Database(DatabaseOptions(min_size=1, max_size=1, command_timeout=0, statement_timeout=0))
    await database.open(dsn)
    try:
        async with database.scope("lists"):
            return {what: await _time(ask) for what, ask in _questions(ScopedConnection(database), rows).items()}
    finally:
        await database.close()


def _questions(connection: ScopedConnection, rows: int) -> dict[str, Callable[[], Awaitable[object]]]:
    users, items, accounts = UserRepository(connection), ItemRepository(connection), AccountRepository(connection)
    last = rows - PAGE
    return {
        "users with items, first page": lambda: users.list(0, PAGE, after=IMPORTER),
        "users with items, last page": lambda: users.list(0, PAGE, after=last),
        "items, first page": lambda: items.list(0, PAGE),
        "items, last page": lambda: items.list(0, PAGE, after=last),
        "items of one owner of half of them, first page": lambda: items.list(0, PAGE, owner_id=IMPORTER),
        "the same, last page": lambda: items.list(0, PAGE, after=last, owner_id=IMPORTER),
        "items of an owner of few": lambda: items.list(0, PAGE, owner_id=rows // 2),
        "an item by its id": lambda: items.get(rows // 2, None),
        "a user by its id, with its items": lambda: users.get(rows // 2),
        "an account by its e-mail address": lambda: accounts.with_email(f"{rows // 2}@EXAMPLE.com"),
        "items, last page, by `skip`": lambda: items.list(last, PAGE),
    }


async def _time(ask: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(TIMES):
        started = perf_counter()
        await ask()
        times.append(1000 * (perf_counter() - started))
        if sum(times) > 10_000:  # noqa: PLR2004 - ten seconds suffice when each call takes seconds
            break
    return median(times)


async def _fill(dsn: str, rows: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("TRUNCATE users, items RESTART IDENTITY CASCADE")
        await connection.execute(GROW_USERS, 1, rows)
        await connection.execute(
            "ALTER TABLE items DROP CONSTRAINT items_owner_id_fkey"
        )  # it checks each row, which takes minutes
        await connection.execute(GROW_ITEMS, 1, rows, IMPORTER)
        await connection.execute(
            "ALTER TABLE items ADD CONSTRAINT items_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES users ON DELETE CASCADE"
        )
        await connection.execute("VACUUM (ANALYZE) users, items")
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
