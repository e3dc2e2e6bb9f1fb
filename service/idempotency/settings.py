"""The section `idempotency` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class IdempotencySettings(BaseModel):
    """How answers to requests with an `Idempotency-Key` are stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl_seconds: Annotated[int, Field(ge=1, le=366 * 24 * 60 * 60)] = 24 * 60 * 60
    """How long a key returns its first answer."""
