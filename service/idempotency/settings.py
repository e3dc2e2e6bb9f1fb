"""The section `idempotency` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class IdempotencySettings(BaseModel):
    """How answers are kept for requests that carry an `Idempotency-Key`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl_seconds: Annotated[int, Field(ge=1, le=366 * 24 * 60 * 60)] = 24 * 60 * 60
    """How long the same key gives the same answer."""
