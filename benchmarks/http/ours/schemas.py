"""What a record looks like from outside."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.types import Text

Line = Annotated[Text, Field(min_length=1, max_length=200)]


class NewRecord(BaseModel):
    """A record to be created."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    email: Line
    city: Line
    amount: Annotated[int, Field(ge=0, le=2**31 - 1)]
    active: bool


class Record(BaseModel):
    """A record."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    email: str
    city: str
    amount: int
    active: bool
    created_at: datetime


class Neighbours(BaseModel):
    """A record, and those before and after it."""

    model_config = ConfigDict(frozen=True)

    previous: Record | None
    record: Record
    next: Record | None
