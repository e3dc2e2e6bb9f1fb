"""The section `bulk` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.database.options import Seconds


class BulkSettings(BaseModel):
    """Imports and exports of many items. Each holds a connection for as long as its client sends or reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_exports: Annotated[int | None, Field(ge=0)] = None
    """Imports and exports at once, together, in each process; the next gets a 503. Below `database.max_size`, so that slow
    clients never have all connections. `None`: 2, and fewer for a pool of one or two."""
    max_seconds: Seconds = 300.0
    """The longest that one runs; past it an import is rolled back, and an export's transfer is broken off."""
    max_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024**3
    """The largest body of an import, in the place of `http.max_body_bytes`."""
