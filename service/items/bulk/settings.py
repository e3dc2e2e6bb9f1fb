"""The section `bulk` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.database.options import Seconds


class BulkSettings(BaseModel):
    """Imports and exports of many items. Each holds a connection while its client sends or reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_exports: Annotated[int | None, Field(ge=0)] = None
    """Imports and exports in progress, together, in each process; the next gets a 503. Below `database.max_size`, so that slow
    clients never hold all connections. `None`: 2, and fewer for a pool of one or two."""
    max_seconds: Seconds = 300.0
    """Time limit of each; after it an import is rolled back, and an export's transfer is cut off."""
    max_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024**3
    """The largest body of an import, instead of `http.max_body_bytes`."""
