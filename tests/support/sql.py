"""Statements on a connection of the test, which is closed after them."""

from typing import Any

import asyncpg


async def execute(dsn: str, *statements: str) -> None:
    """Run statements, one after the other."""
    connection = await asyncpg.connect(dsn, timeout=60)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(dsn: str, sql: str) -> list[asyncpg.Record]:
    """Return the rows of a query."""
    connection = await asyncpg.connect(dsn, timeout=60)
    try:
        return await connection.fetch(sql, timeout=60)
    finally:
        await connection.close()


async def fetchval(dsn: str, sql: str) -> Any:
    """Return the first value of a query."""
    connection = await asyncpg.connect(dsn, timeout=60)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()
