"""A `Database` class on `app.state`, opened in the lifespan."""

import asyncio
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from benchmarks.http.apps.schemas import Neighbours, NewRecord, Record
from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE
from benchmarks.peers.app_state import Database, lifespan_of

app = FastAPI(lifespan=lifespan_of(Database(DSN, SIZE, min_size=SIZE)))


@app.get("/records/{record_id}", response_model=Record)
async def read_record(record_id: int, request: Request) -> Any:
    row = await request.app.state.database.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    return dict(row)


@app.get("/records/", response_model=list[Record])
async def list_records(request: Request, skip: int = 0, limit: int = 100) -> Any:
    return [dict(row) for row in await request.app.state.database.fetch(LIST, skip, limit)]


@app.post("/records/", response_model=Record, status_code=201)
async def create_record(new: NewRecord, request: Request) -> Any:
    async with request.app.state.database.transaction() as connection:
        return dict(await connection.fetchrow(CREATE, new.name, new.email, new.city, new.amount, new.active))


@app.get("/records/{record_id}/neighbours", response_model=Neighbours)
async def read_neighbours(record_id: int, request: Request) -> Any:
    database = request.app.state.database
    row = await database.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    before = await database.fetchrow(PREVIOUS, record_id)
    after = await database.fetchrow(NEXT, record_id)
    return {"previous": before and dict(before), "record": dict(row), "next": after and dict(after)}


@app.get("/records/{record_id}/slow/{seconds}", response_model=Record)
async def read_slowly(record_id: int, seconds: float, request: Request) -> Any:
    row = await request.app.state.database.fetchrow(READ, record_id)
    if row is None:
        raise HTTPException(404, "Record not found")
    await asyncio.sleep(seconds)
    return dict(row)
