"""Opening connections to the first of a DSN's hosts that will do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import asyncpg

from service.database.dsn import Dsn, Host, parse
from service.database.errors import InvalidDsn
from service.database.failures import breaks_connection
from service.database.options import DatabaseOptions

Secret = str | Callable[[], str | None]
"""A value, or a function that gives it anew for each connection, so that it can be rotated."""


class Connector:
    """Opens connections to one PostgreSQL, as its DSN and the options say; hosts never go through `urllib.parse`."""

    def __init__(self, dsn: Secret | None, password: Secret | None, options: DatabaseOptions) -> None:
        self._dsn = dsn
        self._password = password
        self._options = options
        if not callable(dsn):
            self._read(dsn)

    async def connect(self, *, server_settings: Mapping[str, str], **arguments: Any) -> Any:
        """`asyncpg.connect` with a share of `connect_timeout` for each host of the DSN.

        asyncpg has one limit for all of them: a first host that is gone without a word would use it up, and the second, to
        which a standby was promoted, would never be asked.

        `server_settings`: the session's, in so far as the DSN does not name them. Raises `InvalidDsn`, and what
        `asyncpg.connect` raises.
        """
        dsn = self._read(_reveal(self._dsn))
        arguments |= self._arguments(dsn, _reveal(self._password), server_settings)
        *others, last = _attempts(dsn)
        share = self._effective(dsn, "connect_timeout") / (len(others) + 1)
        for hosts in others:
            try:
                return await asyncpg.connect(timeout=share, **_addresses(hosts), **arguments)
            except Exception as error:
                if not breaks_connection(error):
                    raise
        return await asyncpg.connect(timeout=share, **_addresses(last), **arguments)

    def _read(self, text: str | None) -> Dsn:
        """The DSN. Raises `InvalidDsn` for one that contradicts an option that was set."""
        dsn = parse(text)
        defaults = DatabaseOptions()
        for name, value in dsn.options.items():
            own = getattr(self._options, name)
            if own not in (value, getattr(defaults, name)):
                raise InvalidDsn(f"says {value} for {name}, and the options say {own}: keep one of them")
        return dsn

    def _effective(self, dsn: Dsn, name: str) -> Any:
        return dsn.options.get(name, getattr(self._options, name))

    def _arguments(self, dsn: Dsn, password: str | None, server_settings: Mapping[str, str]) -> dict[str, Any]:
        named = {*dsn.options, *dsn.parameters}
        if "idle_in_transaction_timeout" in named:
            named.add("idle_in_transaction_session_timeout")
        return {
            "dsn": f"postgresql://?{urlencode(dsn.parameters)}",
            "user": dsn.user,
            "password": password or dsn.password,
            "database": dsn.database,
            "ssl": None if "sslmode" in dsn.parameters else self._options.sslmode,
            "statement_cache_size": self._effective(dsn, "statement_cache_size"),
            "server_settings": {name: value for name, value in server_settings.items() if name not in named},
        }


def _attempts(dsn: Dsn) -> Sequence[tuple[Host, ...]]:
    """The hosts one by one, in their order. A search for a standby has to see all of them at once."""
    attributes = dsn.parameters.get("target_session_attrs") or os.environ.get("PGTARGETSESSIONATTRS")
    if len(dsn.hosts) < 2 or attributes == "prefer-standby":  # noqa: PLR2004
        return [dsn.hosts]
    return [(host,) for host in dsn.hosts]


def _addresses(hosts: tuple[Host, ...]) -> dict[str, Any]:
    if not hosts:
        return {}
    usual = os.environ.get("PGPORT") or 5432
    return {"host": [host.name for host in hosts], "port": [host.port or usual for host in hosts]}


def _reveal(secret: Secret | None) -> str | None:
    return secret() if callable(secret) else secret
