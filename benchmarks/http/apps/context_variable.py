"""One connection for each request in a ContextVar, set by a dependency in the route's decorator."""

import asyncio
from typing import Any

from fastapi import Depends, FastAPI, HTTPException

from benchmarks.http.apps.schemas import Neighbours, NewRecord, Record
from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE
from benchmarks.peers.context_variable import current, open_connection, opened

app = FastAPI(lifespan=lambda _: opened(DSN, SIZE, min_size=SIZE), dependencies=[Depends(open_connection)])


@app.get("/records/{record_id}", response_model=Record)
async def read_record(record_id: int) -> Any:
    row = await current.get().fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    return dict(row)


@app.get("/records/", response_model=list[Record])
async def list_records(skip: int = 0, limit: int = 100) -> Any:
    return [dict(row) for row in await current.get().fetch(LIST, skip, limit)]


@app.post("/records/", response_model=Record, status_code=201)
async def create_record(new: NewRecord) -> Any:
    async with current.get().transaction():
        return dict(await current.get().fetchrow(CREATE, new.name, new.email, new.city, new.amount, new.active))


@app.get("/records/{record_id}/neighbours", response_model=Neighbours)
async def read_neighbours(record_id: int) -> Any:
    connection = current.get()
    row = await connection.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    before = await connection.fetchrow(PREVIOUS, record_id)
    after = await connection.fetchrow(NEXT, record_id)
    return {"previous": before and dict(before), "record": dict(row), "next": after and dict(after)}


@app.get("/records/{record_id}/slow/{seconds}", response_model=Record)
async def read_slowly(record_id: int, seconds: float) -> Any:
    row = await current.get().fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    await asyncio.sleep(seconds)
    return dict(row)
