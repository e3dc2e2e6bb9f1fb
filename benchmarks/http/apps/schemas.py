"""Schemas of records, for the peers on FastAPI."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class NewRecord(BaseModel):
    name: str
    email: str
    city: str
    amount: int
    active: bool


class Record(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    email: str
    city: str
    amount: int
    active: bool
    created_at: datetime


class Neighbours(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    previous: Record | None
    record: Record
    next: Record | None
