"""Schemas of records, for the peers on Litestar."""

from datetime import datetime

from msgspec import Struct


class NewRecord(Struct):
    name: str
    email: str
    city: str
    amount: int
    active: bool


class Record(Struct):
    id: int
    name: str
    email: str
    city: str
    amount: int
    active: bool
    created_at: datetime


class Neighbours(Struct):
    previous: Record | None
    record: Record
    next: Record | None
