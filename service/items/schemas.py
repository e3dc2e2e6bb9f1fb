"""Items as clients send and receive them."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.web.input import Input, Text

Title = Annotated[Text, Field(min_length=1, max_length=200, examples=["A pen"])]
Description = Annotated[Text, Field(max_length=10_000, examples=["Blue, nearly new"])]


class NewItem(Input):
    """A new item."""

    title: Title
    description: Description | None = None


class ChangedItem(Input):
    """Fields to change. A field that is missing stays as it is; a null description removes it."""

    title: Title | None = None
    description: Description | None = None


@dataclass(slots=True)
class Item:
    """An item and the id of its owner."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["A pen"])]
    description: Annotated[str | None, Field(examples=["Blue, nearly new"])]
    owner_id: Annotated[int, Field(examples=[1])]


class Imported(BaseModel):
    """The result of an import."""

    model_config = ConfigDict(frozen=True)

    imported: Annotated[int, Field(examples=[1_000_000])]
