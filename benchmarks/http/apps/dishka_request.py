"""dishka: a connection from a generator in the request's scope, and a repository that takes it."""

import asyncio
import builtins
from typing import Any

from dishka import FromDishka, Scope, make_async_container, provide
from dishka.integrations.fastapi import DishkaRoute, setup_dishka
from fastapi import APIRouter, FastAPI, HTTPException

from benchmarks.http.apps.schemas import Neighbours, NewRecord, Record
from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE
from benchmarks.peers.dishka_request import Connection, Connections, lifespan


class RecordRepository:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, record_id: int) -> dict[str, Any]:
        row = await self._connection.fetchrow(READ, record_id)
        if row is None:
            raise HTTPException(404, "Record not found")
        return dict(row)

    async def list(self, skip: int, limit: int) -> builtins.list[dict[str, Any]]:
        return [dict(row) for row in await self._connection.fetch(LIST, skip, limit)]

    async def create(self, new: NewRecord) -> dict[str, Any]:
        async with self._connection.transaction():
            return dict(await self._connection.fetchrow(CREATE, new.name, new.email, new.city, new.amount, new.active))

    async def neighbours(self, record_id: int) -> dict[str, Any]:
        record = await self.read(record_id)
        before = await self._connection.fetchrow(PREVIOUS, record_id)
        after = await self._connection.fetchrow(NEXT, record_id)
        return {"previous": before and dict(before), "record": record, "next": after and dict(after)}


class Adapters(Connections):
    records = provide(RecordRepository, scope=Scope.REQUEST)


router = APIRouter(route_class=DishkaRoute)


@router.get("/records/{record_id}", response_model=Record)
async def read_record(record_id: int, records: FromDishka[RecordRepository]) -> Any:
    return await records.read(record_id)


@router.get("/records/", response_model=list[Record])
async def list_records(records: FromDishka[RecordRepository], skip: int = 0, limit: int = 100) -> Any:
    return await records.list(skip, limit)


@router.post("/records/", response_model=Record, status_code=201)
async def create_record(new: NewRecord, records: FromDishka[RecordRepository]) -> Any:
    return await records.create(new)


@router.get("/records/{record_id}/neighbours", response_model=Neighbours)
async def read_neighbours(record_id: int, records: FromDishka[RecordRepository]) -> Any:
    return await records.neighbours(record_id)


@router.get("/records/{record_id}/slow/{seconds}", response_model=Record)
async def read_slowly(record_id: int, seconds: float, records: FromDishka[RecordRepository]) -> Any:
    record = await records.read(record_id)
    await asyncio.sleep(seconds)
    return record


app = FastAPI(lifespan=lifespan)
app.include_router(router)
setup_dishka(make_async_container(Adapters(DSN, SIZE, min_size=SIZE)), app)
