"""Sections of the settings that belong to no feature, with their defaults."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator
from pydantic.dataclasses import dataclass

from service.database import DatabaseOptions, InvalidDsn
from service.database.dsn import parse


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DatabaseSettings(DatabaseOptions):
    """The address of PostgreSQL, and the pool's limits."""

    dsn: SecretStr | None = None
    """`postgresql://user:password@host:port/database`. Without it, development and test start an embedded server."""
    password: SecretStr | None = None
    """Overrides the DSN's password. In the secrets directory it is read again for each new connection."""
    migrate_on_start: bool | None = None
    """`None`: only in development and test."""

    @field_validator("dsn")
    @classmethod
    def _readable(cls, dsn: SecretStr | None) -> SecretStr | None:
        try:
            parse(None if dsn is None else dsn.get_secret_value())
        except InvalidDsn as error:
            raise ValueError(error.what) from None
        return dsn


class EmbeddedSettings(BaseModel):
    """The embedded PostgreSQL of development and test."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path(".poolkeeper/postgres")
    """The data folder in development, relative to the working directory. Tests use a temporary folder."""


class PerformanceSettings(BaseModel):
    """Optimisations that can be switched off. docs/performance.md has the gain of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prepared_routes: bool = True
    """Prepare routes at the start where possible, so that FastAPI does less for each request."""
    batched_admission: bool = True
    """Read requests in batches while many wait for a connection. Needs the protocol that `poolkeeper serve` uses."""
    freeze_gc: bool = True
    """Exclude the objects of the start from Python's garbage collection, and collect the others less often."""
