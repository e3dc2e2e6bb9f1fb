"""SQLAlchemy's asynchronous session with ORM models, by a dependency that yields it."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import BigInteger, DateTime, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.http.apps import schemas
from benchmarks.http.apps.settings import DSN, SIZE
from benchmarks.peers.sqlalchemy_session import get_session, opened


class Base(DeclarativeBase):
    pass


class Record(Base):
    __tablename__ = "records"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    city: Mapped[str]
    amount: Mapped[int]
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


app = FastAPI(lifespan=lambda _: opened(DSN, SIZE, pool_timeout=5))
Session = Annotated[AsyncSession, Depends(get_session)]


@app.get("/records/{record_id}", response_model=schemas.Record)
async def read_record(record_id: int, session: Session) -> Any:
    record = await session.get(Record, record_id)
    if record is None:
        raise HTTPException(404, "Record not found")
    return record


@app.get("/records/", response_model=list[schemas.Record])
async def list_records(session: Session, skip: int = 0, limit: int = 100) -> Any:
    return (await session.scalars(select(Record).order_by(Record.id).offset(skip).limit(limit))).all()


@app.post("/records/", response_model=schemas.Record, status_code=201)
async def create_record(new: schemas.NewRecord, session: Session) -> Any:
    record = Record(**new.model_dump())
    session.add(record)
    await session.commit()
    return record


@app.get("/records/{record_id}/neighbours", response_model=schemas.Neighbours)
async def read_neighbours(record_id: int, session: Session) -> Any:
    record = await session.get(Record, record_id)
    if record is None:
        raise HTTPException(404, "Record not found")
    before = await session.scalar(select(Record).where(Record.id < record_id).order_by(Record.id.desc()).limit(1))
    after = await session.scalar(select(Record).where(Record.id > record_id).order_by(Record.id).limit(1))
    return {"previous": before, "record": record, "next": after}


@app.get("/records/{record_id}/slow/{seconds}", response_model=schemas.Record)
async def read_slowly(record_id: int, seconds: float, session: Session) -> Any:
    record = await session.get(Record, record_id)
    if record is None:
        raise HTTPException(404, "Record not found")
    await asyncio.sleep(seconds)
    return record
