"""The options of a pool. Times are in seconds."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from service.database.environment import environment_variable

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_MAX_SECONDS = 30 * 24 * 3600
"""PostgreSQL stores its timeouts as milliseconds in 32 bits."""

Seconds = Annotated[float, Ge(0.001), Le(_MAX_SECONDS)]
SecondsOrOff = Annotated[float, Ge(0), Le(_MAX_SECONDS)]
"""Seconds; 0 for no limit."""


@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """The pool's size, its time limits, and how it connects.

    Raises:
        ValueError: `min_size` is larger than `max_size`.
    """

    min_size: Annotated[int, Ge(0)] = 2
    """Connections that stay open when the pool is idle."""
    max_size: Annotated[int, Ge(1)] = 10
    """Maximum number of connections of this pool, in this process."""
    acquire_timeout: Seconds = 5.0
    """How long a statement waits for a connection."""
    max_waiting: Annotated[int, Ge(0)] = 1000
    """How many statements may wait for a connection; the next is refused at once."""
    connect_timeout: Seconds = 5.0
    """The limit for opening, resetting or closing one connection."""
    command_timeout: SecondsOrOff = 30.0
    """The client's limit for one statement. It is cancelled then, and raises `DatabaseUnavailable`. 0 for no limit."""
    statement_timeout: SecondsOrOff = 20.0
    """The server's limit for one statement. 0 for the server's setting."""
    idle_in_transaction_timeout: SecondsOrOff = 60.0
    """The server's limit for an idle transaction. 0 for the server's setting."""
    shutdown_timeout: Seconds = 10.0
    """How long closing waits for connections in use."""
    max_lifetime: SecondsOrOff = 3600.0
    """The age at which a connection is renewed, up to a tenth earlier to spread renewals. 0 for never."""
    max_inactive_lifetime: SecondsOrOff = 300.0
    """How long a connection beyond `min_size` may be idle before it is closed. 0 for never."""
    max_queries: Annotated[int, Ge(1)] = 50_000
    """The number of statements after which a connection is renewed."""
    slow_lease: SecondsOrOff = 5.0
    """A lease held for longer is logged once, with the scope's name and the line of code that took it. 0 for never."""
    statement_cache_size: Annotated[int, Ge(0)] = 100
    """Prepared statements cached per connection. 0 for none, as for a PgBouncer in transaction mode without support for them."""
    application_name: str = field(default_factory=lambda: environment_variable("PGAPPNAME") or "poolkeeper")
    """The name in `pg_stat_activity`."""
    sslmode: TlsMode | None = None
    """The TLS mode, named as in libpq. `None` for the mode of the DSN, then of PGSSLMODE, then `prefer`."""

    def __post_init__(self) -> None:
        if self.min_size > self.max_size:
            raise ValueError(f"min_size ({self.min_size}) is larger than max_size ({self.max_size})")

    def server_settings(self) -> dict[str, str]:
        """Return the session settings of a new connection. Omit limits of 0: PgBouncer refuses unknown settings."""
        limits = {
            "statement_timeout": self.statement_timeout,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_timeout,
        }
        return {
            "application_name": self.application_name,
            **{name: f"{round(seconds * 1000)}ms" for name, seconds in limits.items() if seconds},
        }
