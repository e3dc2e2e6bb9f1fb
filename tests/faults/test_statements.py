"""What the server ends by itself: idle transactions, long statements, deadlocks and serialization failures."""

import asyncio
import random

import pytest

from tests.database.helpers import until
from tests.faults.load import INSERT, SECONDS, keys, load, serving
from tests.support.servers import Server
from tests.support.sql import fetch

REFUSED = 6
"""How many refusals a test waits for."""
PATIENT = 30.0
"""Seconds: nobody is refused for having waited, where the waits are the point."""


async def test_transactions_that_do_nothing_are_ended_by_the_server_and_nobody_else_is(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own work is refused and undone; the clients beside them write on."""
    options = {"acquire_timeout": PATIENT, "command_timeout": PATIENT, "idle_in_transaction_timeout": 1}
    async with serving(server.dsn, monkeypatch, **options) as service:

        async def idle(key: str) -> None:
            async with service.connection.transaction():
                await service.connection.execute(INSERT, key)
                await asyncio.sleep(1.5)

        service.writes["idle"] = idle
        async with load(service, "idle", *["statement", "transaction"] * 6) as clients:
            await until(lambda: len(clients.refused) >= REFUSED)
            await clients.some_more()
        await clients.is_consistent(server.dsn)
    assert all(key.startswith("idle") for key in clients.refused)
    assert not any(key.startswith("idle") for key in await keys(server.dsn))


async def test_statements_past_the_servers_limit_are_refused_and_cost_no_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is rolled back, and the very same connections serve the next."""
    options = {"acquire_timeout": PATIENT, "command_timeout": PATIENT, "statement_timeout": 0.5, "min_size": 8}
    async with serving(server.dsn, monkeypatch, **options) as service:

        async def slow(key: str) -> None:
            async with service.connection.transaction():
                await service.connection.execute(INSERT, key)
                await service.connection.execute("SELECT pg_sleep(5)")

        service.writes["slow"] = slow
        async with load(service, "slow", *["statement", "transaction"] * 6) as clients:
            await until(lambda: len(clients.refused) >= REFUSED)
            await clients.some_more()
        await clients.is_consistent(server.dsn)
        assert service.database.stats().totals.closed == 0
    slow_ones = {key: answer for key, answer in clients.refused.items() if key.startswith("slow")}
    assert {answer.json()["detail"] for answer in slow_ones.values()} == {"The database took too long"}
    assert not any(key.startswith("slow") for key in await keys(server.dsn))


async def test_deadlocks_and_serialization_failures_are_got_through(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients move money between few accounts, in any order: all succeed, and no move is lost or made twice."""
    for sql in (
        "CREATE TABLE accounts AS SELECT id, 0 AS balance FROM generate_series(1, 4) AS id",
        "ALTER SYSTEM SET deadlock_timeout = '10ms'",
        "SELECT pg_reload_conf()",
    ):
        await fetch(server.dsn, sql)
    runs = moves = 0
    async with serving(server.dsn, monkeypatch, acquire_timeout=PATIENT, command_timeout=PATIENT) as service:
        connection = service.connection

        async def move(key: str) -> None:
            nonlocal runs, moves
            source, target = random.sample(range(1, 5), 2)
            moves += 1

            async def work() -> None:
                nonlocal runs
                runs += 1
                await connection.execute("UPDATE accounts SET balance = balance - 1 WHERE id = $1", source)
                await connection.execute(INSERT, key)
                await connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = $1", target)

            isolation = random.choice(["read_committed", "serializable"])
            await connection.run_transaction(work, isolation=isolation, attempts=1000)  # type: ignore[arg-type]

        service.writes["move"] = move
        async with load(service, "move") as clients:
            await asyncio.sleep(SECONDS)
        await clients.is_consistent(server.dsn)
    assert not clients.refused
    assert sorted(await keys(server.dsn)) == sorted(clients.acknowledged)
    assert len(clients.acknowledged) == moves
    print(f"{moves} moves in {runs} runs")
    assert runs > moves
    assert (await fetch(server.dsn, "SELECT sum(balance) FROM accounts"))[0][0] == 0
    assert (await fetch(server.dsn, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"))[0][0] > 0
