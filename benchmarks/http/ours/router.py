"""Records over HTTP."""

import asyncio

from fastapi import APIRouter

from benchmarks.http.ours.schemas import Neighbours, NewRecord, Record
from benchmarks.http.ours.service import RecordService
from service.auth.access import SignedIn
from service.injection import Provide, inject
from service.web.openapi import problem_responses
from service.web.parameters import Id, Limit, Skip

router = APIRouter(prefix="/records", tags=["records"])


@router.get("/{record_id}", summary="Read a record", responses=problem_responses(401, 404))
@inject
async def read_record(_: SignedIn, record_id: Id, records: RecordService = Provide["record_service"]) -> Record:
    """Return one record."""
    return await records.get(record_id)


@router.get("/", summary="List records", responses=problem_responses(401))
@inject
async def list_records(
    _: SignedIn, skip: Skip = 0, limit: Limit = 100, records: RecordService = Provide["record_service"]
) -> list[Record]:
    """Return records in the order of their ids."""
    return await records.list(skip, limit)


@router.post("/", status_code=201, summary="Create a record", responses=problem_responses(401, 413))
@inject
async def create_record(_: SignedIn, new: NewRecord, records: RecordService = Provide["record_service"]) -> Record:
    """Create a record."""
    return await records.create(new)


@router.get(
    "/{record_id}/neighbours", summary="Read a record and its neighbours", responses=problem_responses(401, 404)
)
@inject
async def read_neighbours(_: SignedIn, record_id: Id, records: RecordService = Provide["record_service"]) -> Neighbours:
    """Return three records, with three statements."""
    return await records.neighbours(record_id)


@router.get("/{record_id}/slow/{seconds}", summary="Read a record, and wait", responses=problem_responses(401, 404))
@inject
async def read_slowly(
    _: SignedIn, record_id: Id, seconds: float, records: RecordService = Provide["record_service"]
) -> Record:
    """Sleep after the statement, like a handler that waits for another service."""
    record = await records.get(record_id)
    await asyncio.sleep(seconds)
    return record
