"""The sections of the configuration, each with its defaults. Those of a feature lie with it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator
from pydantic.dataclasses import dataclass

from service.database import DatabaseOptions, InvalidDsn
from service.database.dsn import parse


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DatabaseSettings(DatabaseOptions):
    """Where PostgreSQL is, and how the pool behaves."""

    dsn: SecretStr | None = None
    """`postgresql://user:password@host:port/database`. Without it, development and test start a server of their own."""
    password: SecretStr | None = None
    """Takes precedence over the DSN's. In a file of the secrets directory it is read again for each new connection."""
    migrate_on_start: bool | None = None
    """`None`: in development and test."""

    @field_validator("dsn")
    @classmethod
    def _readable(cls, dsn: SecretStr | None) -> SecretStr | None:
        try:
            parse(None if dsn is None else dsn.get_secret_value())
        except InvalidDsn as error:
            raise ValueError(error.what) from None
        return dsn


class EmbeddedSettings(BaseModel):
    """The PostgreSQL that development starts by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path(".poolkeeper/postgres")
    """Where development keeps its data, relative to the working directory. Tests use a temporary folder."""


class PerformanceSettings(BaseModel):
    """What makes the service fast and could be done without. docs/performance.md has what each is worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prepared_routes: bool = True
    """Whether routes are prepared at the start, as far as they can be; otherwise FastAPI does everything for each request."""
    batched_admission: bool = True
    """Whether requests are read in batches while many wait for a connection. It takes the protocol of `poolkeeper serve`."""
    freeze_gc: bool = True
    """Whether Python's garbage collector leaves alone what was there at the start, and looks less often at the rest."""
