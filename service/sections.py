"""The sections of the configuration, each with its defaults. Those of a feature lie with it."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.dataclasses import dataclass

from service.database import DatabaseOptions, InvalidDsn
from service.database.dsn import parse
from service.database.options import Seconds
from service.hosts import HostNames, WebOrigins


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


class HttpSettings(BaseModel):
    """What the service accepts over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    body_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long a request's body may take to arrive."""
    max_headers: Annotated[int, Field(ge=10)] = 100
    """How many headers a request may have; one with more gets a 431."""
    max_head_bytes: Annotated[int, Field(ge=1024)] = 32 * 1024
    """The largest request line with all headers; a larger one gets a 431."""
    max_url_bytes: Annotated[int, Field(ge=256)] = 8 * 1024
    """The longest URL; a longer one gets a 414."""
    head_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long a request's headers may take to arrive, from their first byte."""
    keep_alive_seconds: Annotated[int, Field(ge=1)] = 75
    """How long a connection may be idle. Keep it longer than the load balancer's own limit (60 s at AWS): else it sends a
    request on a connection that closes at that moment, and its client gets a 502."""
    allowed_hosts: HostNames = ()
    """The hosts it answers to: names, addresses, `*.example.com`, or `*` for any. None: this machine, in development and test."""
    allowed_origins: WebOrigins = ()
    """The web origins whose pages may call it (CORS), such as `https://app.example.com`."""
    hsts_seconds: Annotated[int, Field(ge=0)] = 0
    """How long browsers remember to come by HTTPS only; 0 does not say so."""
    drain_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How long answers say `Connection: close` after SIGTERM, before the server stops."""


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


class PasswordSettings(BaseModel):
    """What a password's hash costs (argon2id). The defaults are OWASP's first recommendation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_kib: Annotated[int, Field(ge=8)] = 19 * 1024
    time_cost: Annotated[int, Field(ge=1)] = 2
    threads: Annotated[int, Field(ge=1)] = 2
    """How many passwords are hashed at once."""
    max_waiting: Annotated[int, Field(ge=1)] = 200
    """How many are hashed or wait for it at once, in each process; the next gets a 503."""
    min_length: Annotated[int, Field(ge=1, le=64)] = 8
    """Characters of a new password at least. Eight is the least that OWASP's ASVS 5.0 (6.2.1) allows; it advises 15."""


class IdempotencySettings(BaseModel):
    """How answers are kept for requests that carry an `Idempotency-Key`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl_seconds: Annotated[int, Field(ge=1, le=366 * 24 * 60 * 60)] = 24 * 60 * 60
    """How long the same key gives the same answer."""


class PerformanceSettings(BaseModel):
    """What makes the service fast and could be done without. docs/performance.md has what each is worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prepared_routes: bool = True
    """Whether routes are prepared at the start, as far as they can be; otherwise FastAPI does everything for each request."""
    batched_admission: bool = True
    """Whether requests are read in batches while many wait for a connection. It takes the protocol in `service.server`."""
    freeze_gc: bool = True
    """Whether Python's garbage collector leaves alone what was there at the start, and looks less often at the rest."""


class DiagnosticsSettings(BaseModel):
    """Endpoints that show how the service behaves. Not for production."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = False
    slow_seconds: Annotated[float, Field(ge=0)] = 10.0
    """The first wait of `/slowusers/`."""


class DocumentationSettings(BaseModel):
    """The page at `/docs`, and the OpenAPI document that it shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool | None = None
    """`None`: in development and test. The page takes passwords, and runs a script that others wrote."""
