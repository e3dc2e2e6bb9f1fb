"""How a pool behaves. Times are in seconds."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from service.database.variables import given

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_LONGEST = 30 * 24 * 3600
"""Seconds: PostgreSQL counts its limits in milliseconds, in 32 bits."""

Seconds = Annotated[float, Ge(0.001), Le(_LONGEST)]
SecondsOrOff = Annotated[float, Ge(0), Le(_LONGEST)]
"""Seconds; 0 switches the limit off."""


@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """The pool's size, its limits in time, and how it connects.

    Raises `ValueError` when `min_size` is larger than `max_size`.
    """

    min_size: Annotated[int, Ge(0)] = 2
    """Connections that are kept open even when nothing happens."""
    max_size: Annotated[int, Ge(1)] = 10
    """Connections that are ever open at once, by this pool, in this process."""
    acquire_timeout: Seconds = 5.0
    """The longest that a statement waits for a connection."""
    max_waiting: Annotated[int, Ge(0)] = 1000
    """How many may wait for a connection at once; the next is refused at once."""
    connect_timeout: Seconds = 5.0
    """The longest that opening, resetting or closing one connection takes."""
    command_timeout: SecondsOrOff = 30.0
    """The client's limit for one statement: past it the statement is cancelled, and `DatabaseUnavailable` raised. 0: none."""
    statement_timeout: SecondsOrOff = 20.0
    """The server's limit for one statement. 0: the server's own setting."""
    idle_in_transaction_timeout: SecondsOrOff = 60.0
    """The server's limit for a transaction that does nothing. 0: the server's own setting."""
    shutdown_timeout: Seconds = 10.0
    """How long closing waits for the connections that are in use."""
    max_lifetime: SecondsOrOff = 3600.0
    """A connection is renewed at this age, up to a tenth earlier so that not all are at once. 0: never."""
    max_inactive_lifetime: SecondsOrOff = 300.0
    """A connection beyond `min_size` that was idle for so long is closed. 0: never."""
    max_queries: Annotated[int, Ge(1)] = 50_000
    """A connection is renewed after so many statements."""
    slow_lease: SecondsOrOff = 5.0
    """A connection held for longer is logged once, with the scope's name and the line that took it. 0: never."""
    statement_cache_size: Annotated[int, Ge(0)] = 100
    """Prepared statements that each connection keeps. 0: none, for a PgBouncer in transaction mode without them."""
    application_name: str = field(default_factory=lambda: given("PGAPPNAME") or "poolkeeper")
    """What `pg_stat_activity` shows."""
    sslmode: TlsMode | None = None
    """TLS as libpq names it; `None`: as the DSN says, or PGSSLMODE, or `prefer`."""

    def __post_init__(self) -> None:
        if self.min_size > self.max_size:
            raise ValueError(f"min_size ({self.min_size}) is larger than max_size ({self.max_size})")

    def server_settings(self) -> dict[str, str]:
        """The session settings that a connection starts with; only those that are set, as PgBouncer refuses unknown ones."""
        limits = {
            "statement_timeout": self.statement_timeout,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_timeout,
        }
        return {
            "application_name": self.application_name,
            **{name: f"{round(seconds * 1000)}ms" for name, seconds in limits.items() if seconds},
        }
