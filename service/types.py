"""Types of input that several features share."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator

BIGINT_MAX = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=BIGINT_MAX, examples=[1])]
"""A path's id, within PostgreSQL's bigint."""
Skip = Annotated[int, Query(ge=0, le=BIGINT_MAX, description="How many to leave out at the start")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many to give at most")]


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a NUL character cannot be stored")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
"""Text that PostgreSQL can store: no NUL; pydantic refuses lone surrogates already."""
