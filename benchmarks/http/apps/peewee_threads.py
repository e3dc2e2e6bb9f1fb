"""The synchronous tutorial application on Peewee: `def` endpoints in the threadpool, a connection by yield dependency."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import peewee
from fastapi import Depends, FastAPI, HTTPException
from playhouse.pool import PooledPostgresqlDatabase
from playhouse.postgres_ext import DateTimeTZField

from benchmarks.http.apps import schemas
from benchmarks.http.apps.settings import DSN, SIZE

NO_STATE = {
    "closed": None,
    "conn": None,
    "ctx": None,
    "transactions": None,
    "commit_callbacks": None,
}
db_state: ContextVar[dict[str, Any]] = ContextVar("db_state", default=NO_STATE.copy())  # noqa: B039 - the tutorial's


class PeeweeConnectionState(peewee._ConnectionState):
    def __init__(self, **kwargs: Any) -> None:
        super().__setattr__("_state", db_state)
        super().__init__(**kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        self._state.get()[name] = value

    def __getattr__(self, name: str) -> Any:
        return self._state.get()[name]


db = PooledPostgresqlDatabase(DSN, max_connections=SIZE, timeout=5, prefer_psycopg3=True)
db._state = PeeweeConnectionState()


class Record(peewee.Model):
    id = peewee.BigAutoField()
    name = peewee.TextField()
    email = peewee.TextField()
    city = peewee.TextField()
    amount = peewee.IntegerField()
    active = peewee.BooleanField()
    created_at = DateTimeTZField()

    class Meta:
        database = db
        table_name = "records"


async def reset_db_state() -> None:
    db._state._state.set(NO_STATE.copy())
    db._state.reset()


def get_db(_: None = Depends(reset_db_state)) -> Iterator[None]:
    try:
        db.connect()
        yield
    finally:
        if not db.is_closed():
            db.close()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    db.close_all()


app = FastAPI(lifespan=lifespan, dependencies=[Depends(get_db)])


@app.get("/records/{record_id}", response_model=schemas.Record)
def read_record(record_id: int) -> Any:
    record = Record.get_or_none(record_id)
    if record is None:
        raise HTTPException(404, "Record not found")
    return record


@app.get("/records/", response_model=list[schemas.Record])
def list_records(skip: int = 0, limit: int = 100) -> Any:
    return list(Record.select().order_by(Record.id).offset(skip).limit(limit))


@app.post("/records/", response_model=schemas.Record, status_code=201)
def create_record(new: schemas.NewRecord) -> Any:
    with db.atomic():
        (record,) = Record.insert(**new.model_dump()).returning(Record).execute()
    return record


@app.get("/records/{record_id}/neighbours", response_model=schemas.Neighbours)
def read_neighbours(record_id: int) -> Any:
    record = Record.get_or_none(record_id)
    if record is None:
        raise HTTPException(404, "Record not found")
    before = Record.select().where(Record.id < record_id).order_by(Record.id.desc()).limit(1).first()
    after = Record.select().where(Record.id > record_id).order_by(Record.id).limit(1).first()
    return {"previous": before, "record": record, "next": after}


@app.get("/records/{record_id}/slow/{seconds}", response_model=schemas.Record)
def read_slowly(record_id: int, seconds: float) -> Any:
    record = Record.get_or_none(record_id)
    if record is None:
        raise HTTPException(404, "Record not found")
    time.sleep(seconds)
    return record
