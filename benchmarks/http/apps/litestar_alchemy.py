"""Litestar with advanced-alchemy: its plugin, its service and repository over ORM models, records as structs."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime

from advanced_alchemy.base import AdvancedDeclarativeBase, CommonTableAttributes
from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyPlugin,
)
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from litestar import Litestar, get, post
from litestar.di import Provide
from sqlalchemy import BigInteger, DateTime, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from benchmarks.http.apps.settings import DSN, SIZE
from benchmarks.http.apps.structs import Neighbours, NewRecord, Record


class Row(CommonTableAttributes, AdvancedDeclarativeBase):
    __tablename__ = "records"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    city: Mapped[str]
    amount: Mapped[int]
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class RecordService(SQLAlchemyAsyncRepositoryService[Row]):
    class Repository(SQLAlchemyAsyncRepository[Row]):
        model_type = Row

    repository_type = Repository


async def provide_records(db_session: AsyncSession) -> AsyncGenerator[RecordService, None]:
    async with RecordService.new(session=db_session) as service:
        yield service


def record_of(row: Row) -> Record:
    return Record(row.id, row.name, row.email, row.city, row.amount, row.active, row.created_at)


@get("/records/{record_id:int}")
async def read_record(records: RecordService, record_id: int) -> Record:
    return record_of(await records.get(record_id))


@get("/records/")
async def list_records(records: RecordService, skip: int = 0, limit: int = 100) -> list[Record]:
    return [
        record_of(row) for row in await records.list(statement=select(Row).order_by(Row.id).offset(skip).limit(limit))
    ]


@post("/records/")
async def create_record(records: RecordService, data: NewRecord) -> Record:
    return record_of(await records.create(data, auto_commit=True, auto_refresh=False))


@get("/records/{record_id:int}/neighbours")
async def read_neighbours(records: RecordService, record_id: int) -> Neighbours:
    row = await records.get(record_id)
    before = await records.list(statement=select(Row).where(Row.id < record_id).order_by(Row.id.desc()).limit(1))
    after = await records.list(statement=select(Row).where(Row.id > record_id).order_by(Row.id).limit(1))
    return Neighbours(record_of(before[0]) if before else None, record_of(row), record_of(after[0]) if after else None)


@get("/records/{record_id:int}/slow/{seconds:float}")
async def read_slowly(records: RecordService, record_id: int, seconds: float) -> Record:
    row = await records.get(record_id)
    await asyncio.sleep(seconds)
    return record_of(row)


alchemy = SQLAlchemyAsyncConfig(
    connection_string=DSN.replace("postgresql://", "postgresql+asyncpg://", 1),
    engine_config=EngineConfig(pool_size=SIZE, max_overflow=0, pool_timeout=5),
    session_config=AsyncSessionConfig(expire_on_commit=False),
)
app = Litestar(
    [read_record, list_records, create_record, read_neighbours, read_slowly],
    dependencies={"records": Provide(provide_records)},
    plugins=[SQLAlchemyPlugin(config=alchemy)],
)
