"""Schemas of records."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from service.web.input import Input, Text

Line = Annotated[Text, Field(min_length=1, max_length=200)]


class NewRecord(Input):
    """A record to create."""

    name: Line
    email: Line
    city: Line
    amount: Annotated[int, Field(ge=0, le=2**31 - 1)]
    active: bool


@dataclass(slots=True)
class Record:
    """A record."""

    id: int
    name: str
    email: str
    city: str
    amount: int
    active: bool
    created_at: datetime


@dataclass(slots=True)
class Neighbours:
    """A record, the one before it and the one after it."""

    previous: Record | None
    record: Record
    next: Record | None
