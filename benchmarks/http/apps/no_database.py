"""A limit: FastAPI with typed responses from memory, and no database."""

from typing import Any

from fastapi import FastAPI

from benchmarks.harness.records import record
from benchmarks.http.apps.schemas import NewRecord, Record

ROWS = [record(number) for number in range(1, 10_001)]
app = FastAPI()


@app.get("/records/{record_id}", response_model=Record)
async def read_record(record_id: int) -> Any:
    return ROWS[record_id - 1]


@app.get("/records/", response_model=list[Record])
async def list_records(skip: int = 0, limit: int = 100) -> Any:
    return ROWS[skip : skip + limit]


@app.post("/records/", response_model=Record, status_code=201)
async def create_record(new: NewRecord) -> Any:
    return {**ROWS[0], **new.model_dump()}
