"""Types of input that several features share."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator

BIGINT_MAX = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=BIGINT_MAX, examples=[1])]
"""A path's id, within PostgreSQL's bigint."""
After = Annotated[int, Query(ge=0, le=BIGINT_MAX, description="The id after which to start")]
Skip = Annotated[int, Query(ge=0, le=BIGINT_MAX, description="How many to leave out at the start")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many to give at most")]


def storable(text: str) -> str:
    """The text itself. Raises `ValueError` for what UTF-8 or PostgreSQL cannot hold."""
    if "\x00" in text:
        raise ValueError("a NUL character cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is not a character") from None
    return text


Text = Annotated[str, AfterValidator(storable)]
"""Text that PostgreSQL can store."""
