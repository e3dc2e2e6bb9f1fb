"""What an item looks like from outside."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.web.input import Input, Text

Title = Annotated[Text, Field(min_length=1, max_length=200, examples=["A pen"])]
Description = Annotated[Text, Field(max_length=10_000, examples=["Blue, nearly new"])]


class NewItem(Input):
    """An item to be created."""

    title: Title
    description: Description | None = None


class ChangedItem(Input):
    """What is to be different about an item; what is left out stays as it is, and a null description is none."""

    title: Title | None = None
    description: Description | None = None


@dataclass(slots=True)
class Item:
    """An item, with the user who owns it."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["A pen"])]
    description: Annotated[str | None, Field(examples=["Blue, nearly new"])]
    owner_id: Annotated[int, Field(examples=[1])]


class Imported(BaseModel):
    """What an import has done."""

    model_config = ConfigDict(frozen=True)

    imported: Annotated[int, Field(examples=[1_000_000])]
