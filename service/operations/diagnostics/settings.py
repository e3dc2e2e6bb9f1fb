"""The section `diagnostics` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class DiagnosticsSettings(BaseModel):
    """Endpoints that show how the service behaves under load. Not for production."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = False
    slow_seconds: Annotated[float, Field(ge=0)] = 10.0
    """The first wait of `/slowusers/`."""
