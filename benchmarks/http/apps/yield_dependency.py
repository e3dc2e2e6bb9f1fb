"""One connection for each request, by a dependency that yields it."""

import asyncio
from typing import Any

from fastapi import Depends, FastAPI, HTTPException

from benchmarks.http.apps.schemas import Neighbours, NewRecord, Record
from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE
from benchmarks.peers.yield_dependency import Connection, get_connection, opened

app = FastAPI(lifespan=lambda _: opened(DSN, SIZE, min_size=SIZE))


@app.get("/records/{record_id}", response_model=Record)
async def read_record(record_id: int, connection: Connection = Depends(get_connection)) -> Any:
    row = await connection.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    return dict(row)


@app.get("/records/", response_model=list[Record])
async def list_records(skip: int = 0, limit: int = 100, connection: Connection = Depends(get_connection)) -> Any:
    return [dict(row) for row in await connection.fetch(LIST, skip, limit)]


@app.post("/records/", response_model=Record, status_code=201)
async def create_record(new: NewRecord, connection: Connection = Depends(get_connection)) -> Any:
    async with connection.transaction():
        return dict(await connection.fetchrow(CREATE, new.name, new.email, new.city, new.amount, new.active))


@app.get("/records/{record_id}/neighbours", response_model=Neighbours)
async def read_neighbours(record_id: int, connection: Connection = Depends(get_connection)) -> Any:
    row = await connection.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    before = await connection.fetchrow(PREVIOUS, record_id)
    after = await connection.fetchrow(NEXT, record_id)
    return {"previous": before and dict(before), "record": dict(row), "next": after and dict(after)}


@app.get("/records/{record_id}/slow/{seconds}", response_model=Record)
async def read_slowly(record_id: int, seconds: float, connection: Connection = Depends(get_connection)) -> Any:
    row = await connection.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    await asyncio.sleep(seconds)
    return dict(row)
