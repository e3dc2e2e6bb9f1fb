"""Litestar with an asyncpg pool in its state, opened in the lifespan; records are msgspec's structs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException

from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE
from benchmarks.http.apps.structs import Neighbours, NewRecord, Record


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    async with asyncpg.create_pool(DSN, min_size=SIZE, max_size=SIZE) as app.state.pool:
        yield


@get("/records/{record_id:int}")
async def read_record(state: State, record_id: int) -> Record:
    row = await state.pool.fetchrow(READ, record_id)
    if row is None:
        raise NotFoundException("Record not found")
    return Record(**row)


@get("/records/")
async def list_records(state: State, skip: int = 0, limit: int = 100) -> list[Record]:
    return [Record(**row) for row in await state.pool.fetch(LIST, skip, limit)]


@post("/records/")
async def create_record(state: State, data: NewRecord) -> Record:
    async with state.pool.acquire() as connection, connection.transaction():
        return Record(**await connection.fetchrow(CREATE, data.name, data.email, data.city, data.amount, data.active))


@get("/records/{record_id:int}/neighbours")
async def read_neighbours(state: State, record_id: int) -> Neighbours:
    async with state.pool.acquire() as connection:
        row = await connection.fetchrow(READ, record_id)
        before = await connection.fetchrow(PREVIOUS, record_id)
        after = await connection.fetchrow(NEXT, record_id)
    if row is None:
        raise NotFoundException("Record not found")
    return Neighbours(before and Record(**before), Record(**row), after and Record(**after))


@get("/records/{record_id:int}/slow/{seconds:float}")
async def read_slowly(state: State, record_id: int, seconds: float) -> Record:
    row = await state.pool.fetchrow(READ, record_id)
    if row is None:
        raise NotFoundException("Record not found")
    await asyncio.sleep(seconds)
    return Record(**row)


app = Litestar([read_record, list_records, create_record, read_neighbours, read_slowly], lifespan=[lifespan])
