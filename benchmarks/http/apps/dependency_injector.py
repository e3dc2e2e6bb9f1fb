"""dependency-injector as its FastAPI examples have it: a pool as an asynchronous Resource, `Depends(Provide[...])`."""

import asyncio
import builtins
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from dependency_injector import containers, providers
from dependency_injector.wiring import Provide, inject
from fastapi import Depends, FastAPI, HTTPException

from benchmarks.http.apps.schemas import Neighbours, NewRecord, Record
from benchmarks.http.apps.settings import CREATE, DSN, LIST, NEXT, PREVIOUS, READ, SIZE


class RecordService:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(self, record_id: int) -> dict[str, Any]:
        row = await self._pool.fetchrow(READ, record_id)
        if row is None:
            raise HTTPException(404, "Record not found")
        return dict(row)

    async def list(self, skip: int, limit: int) -> builtins.list[dict[str, Any]]:
        return [dict(row) for row in await self._pool.fetch(LIST, skip, limit)]

    async def create(self, new: NewRecord) -> dict[str, Any]:
        async with self._pool.acquire() as connection, connection.transaction():
            return dict(await connection.fetchrow(CREATE, new.name, new.email, new.city, new.amount, new.active))

    async def neighbours(self, record_id: int) -> dict[str, Any]:
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(READ, record_id)
            before = await connection.fetchrow(PREVIOUS, record_id)
            after = await connection.fetchrow(NEXT, record_id)
        if row is None:
            raise HTTPException(404, "Record not found")
        return {"previous": before and dict(before), "record": dict(row), "next": after and dict(after)}


async def open_pool(dsn: str, size: int) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=size, max_size=size) as pool:
        yield pool


class Container(containers.DeclarativeContainer):
    wiring_config = containers.WiringConfiguration(modules=[__name__], auto_wire=False)
    config = providers.Configuration()
    pool = providers.Resource(open_pool, config.dsn, config.size)
    record_service = providers.Factory(RecordService, pool)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    container = Container(config={"dsn": DSN, "size": SIZE})
    container.wire()
    await container.init_resources()
    yield
    await container.shutdown_resources()


app = FastAPI(lifespan=lifespan)
Service = Annotated[RecordService, Depends(Provide[Container.record_service])]


@app.get("/records/{record_id}", response_model=Record)
@inject
async def read_record(record_id: int, records: Service) -> Any:
    return await records.read(record_id)


@app.get("/records/", response_model=list[Record])
@inject
async def list_records(records: Service, skip: int = 0, limit: int = 100) -> Any:
    return await records.list(skip, limit)


@app.post("/records/", response_model=Record, status_code=201)
@inject
async def create_record(new: NewRecord, records: Service) -> Any:
    return await records.create(new)


@app.get("/records/{record_id}/neighbours", response_model=Neighbours)
@inject
async def read_neighbours(record_id: int, records: Service) -> Any:
    return await records.neighbours(record_id)


@app.get("/records/{record_id}/slow/{seconds}", response_model=Record)
@inject
async def read_slowly(record_id: int, seconds: float, records: Service) -> Any:
    record = await records.read(record_id)
    await asyncio.sleep(seconds)
    return record
