"""A global pool that the first request opens, and `Depends(get_pool)` on every endpoint."""

import asyncio
from typing import Any

import asyncpg
from fastapi import Depends, FastAPI, HTTPException

from benchmarks.http.apps.schemas import Neighbours, NewRecord, Record
from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE
from benchmarks.peers.global_pool import configure, get_pool, lifespan

configure(DSN, SIZE, min_size=SIZE)
app = FastAPI(lifespan=lifespan)


@app.get("/records/{record_id}", response_model=Record)
async def read_record(record_id: int, pool: asyncpg.Pool = Depends(get_pool)) -> Any:
    row = await pool.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    return dict(row)


@app.get("/records/", response_model=list[Record])
async def list_records(skip: int = 0, limit: int = 100, pool: asyncpg.Pool = Depends(get_pool)) -> Any:
    return [dict(row) for row in await pool.fetch(LIST, skip, limit)]


@app.post("/records/", response_model=Record, status_code=201)
async def create_record(new: NewRecord, pool: asyncpg.Pool = Depends(get_pool)) -> Any:
    async with pool.acquire() as connection, connection.transaction():
        return dict(await connection.fetchrow(CREATE, new.name, new.email, new.city, new.amount, new.active))


@app.get("/records/{record_id}/neighbours", response_model=Neighbours)
async def read_neighbours(record_id: int, pool: asyncpg.Pool = Depends(get_pool)) -> Any:
    async with pool.acquire() as connection:
        row = await connection.fetchrow(READ, record_id)
        before = await connection.fetchrow(PREVIOUS, record_id)
        after = await connection.fetchrow(NEXT, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    return {"previous": before and dict(before), "record": dict(row), "next": after and dict(after)}


@app.get("/records/{record_id}/slow/{seconds}", response_model=Record)
async def read_slowly(record_id: int, seconds: float, pool: asyncpg.Pool = Depends(get_pool)) -> Any:
    row = await pool.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    await asyncio.sleep(seconds)
    return dict(row)
