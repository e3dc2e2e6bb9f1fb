"""Opens connections to the first of a DSN's hosts that accepts one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from inspect import isawaitable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg

from service.database import tls
from service.database.connection_init import is_failure
from service.database.driver_errors import breaks_connection
from service.database.dsn import Dsn, Host, parse
from service.database.dsn_parameters import SYSTEM
from service.database.environment import environment_variable
from service.database.errors import DatabaseUnavailable, InvalidDsn
from service.database.options import DatabaseOptions, TlsMode

logger = logging.getLogger("service.database")

Secret = str | Callable[[], "str | Awaitable[str | None] | None"]
"""A value, or a function that returns it for each connection, so that it can be rotated. The function may be async."""

_HINT = "TLS is required for remote servers here; if the network is trusted, set sslmode=disable in the DSN"


class Connector:
    """Opens connections to one PostgreSQL, by its DSN and the options. Hosts never go through `urllib.parse`."""

    def __init__(
        self, dsn: Secret | None, password: Secret | None, options: DatabaseOptions, remote_sslmode: TlsMode = "prefer"
    ) -> None:
        """Check the DSN; one from a function is checked for each connection.

        Args:
            dsn: The DSN, or a function for it.
            password: The password, or a function for it; takes precedence over the DSN's.
            options: The pool's options.
            remote_sslmode: The TLS mode towards another machine if the DSN, the options and PGSSLMODE name none.

        Raises:
            InvalidDsn: The DSN cannot be used.
        """
        self._dsn = dsn
        self._password = password
        self._options = options
        self._remote_sslmode = remote_sslmode
        self._warned = False
        self.statement_timeout = options.statement_timeout
        """The server's limit for a statement in seconds, from the DSN or the options; 0 for no limit."""
        if not callable(dsn):
            self._read(dsn)

    async def connect(self, *, server_settings: Mapping[str, str], **arguments: Any) -> Any:
        """Open a connection within `connect_timeout` seconds, including the time of the functions for DSN and password.

        Args:
            server_settings: Settings of the session; those in the DSN take precedence.
            arguments: Arguments for `asyncpg.connect`.

        Raises:
            DatabaseUnavailable: A function for the DSN or the password failed.
            InvalidDsn: The DSN cannot be used.
        """
        start = asyncio.get_running_loop().time()
        dsn = self._read(await _reveal(self._dsn, "DSN", start + self._options.connect_timeout))
        limit = self._effective(dsn, "connect_timeout")
        password = await _reveal(self._password, "password", start + limit)
        arguments |= self._arguments(dsn, password, server_settings)
        left = start + limit - asyncio.get_running_loop().time()
        try:
            connection = await self._first(dsn, left, arguments)
        except asyncpg.ClientConfigurationError:
            tls.check_root(dsn, self._options.sslmode)
            raise
        except FileNotFoundError:
            if not (dsn.hosts and all(host.is_socket for host in dsn.hosts)):
                tls.check_variables()
            raise
        self._warn_of_plain_text(dsn, connection)
        return connection

    async def _first(self, dsn: Dsn, seconds: float, arguments: dict[str, Any]) -> asyncpg.Connection[asyncpg.Record]:
        """Connect to the first host that accepts, with an equal share of the time for each.

        asyncpg has one limit for all hosts: a first host that does not answer would use it up, and the second, which may be
        the promoted standby, would never be tried.
        """
        *others, last = _attempts(dsn)
        share = seconds / (len(others) + 1)
        for hosts in others:
            try:
                return await self._one(dsn, hosts, {**arguments, "timeout": share})
            except Exception as error:
                if not breaks_connection(error):
                    raise
        return await self._one(dsn, last, {**arguments, "timeout": share})

    async def _one(
        self, dsn: Dsn, hosts: tuple[Host, ...], arguments: dict[str, Any]
    ) -> asyncpg.Connection[asyncpg.Record]:
        if hosts and all(host.is_socket for host in hosts):  # as in libpq, no mode asks for TLS there
            return await asyncpg.connect(**{**arguments, "ssl": False}, **_addresses(hosts))
        if tls.explicit_mode(dsn, self._options.sslmode) or tls.are_local(hosts) or self._remote_sslmode == "prefer":
            return await asyncpg.connect(**arguments, **_addresses(hosts))
        try:
            return await asyncpg.connect(**{**arguments, "ssl": self._remote_sslmode}, **_addresses(hosts))
        except ConnectionError as error:
            if type(error) is not ConnectionError:  # refused or reset: asyncpg's own means no TLS
                raise
            raise ConnectionError(f"{error}: {_HINT}") from error

    def _read(self, text: str | None) -> Dsn:
        """Parse the DSN. Raise `InvalidDsn` if it contradicts an option that was set."""
        dsn = parse(text)
        _check_service(dsn)
        defaults = DatabaseOptions()
        for name, value in dsn.options.items():
            own = getattr(self._options, name)
            if own not in (value, getattr(defaults, name)):
                raise InvalidDsn(f"sets {name} to {value}, but the options set it to {own}; keep one of them")
        self.statement_timeout = self._effective(dsn, "statement_timeout")
        return dsn

    def _effective(self, dsn: Dsn, name: str) -> Any:
        return dsn.options.get(name, getattr(self._options, name))

    def _arguments(self, dsn: Dsn, password: str | None, server_settings: Mapping[str, str]) -> dict[str, Any]:
        named = {*dsn.options, *dsn.parameters}
        if "idle_in_transaction_timeout" in named:
            named.add("idle_in_transaction_session_timeout")
        arguments = tls.tls_arguments(dsn, self._options.sslmode)
        parameters = {name: value for name, value in dsn.parameters.items() if (name, value) != ("sslrootcert", SYSTEM)}
        return arguments | {
            "dsn": f"postgresql://?{urlencode(parameters)}",
            "user": dsn.user,
            "password": password or dsn.password,
            "database": dsn.database,
            "statement_cache_size": self._effective(dsn, "statement_cache_size"),
            "server_settings": {name: value for name, value in server_settings.items() if name not in named},
        }

    def _warn_of_plain_text(self, dsn: Dsn, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Log once that a remote connection is not encrypted, if TLS is the default and was not disabled."""
        wanted = self._remote_sslmode != "prefer" and tls.explicit_mode(dsn, self._options.sslmode) != "disable"
        if wanted and not self._warned and not (tls.is_encrypted(connection) or tls.is_local(connection)):
            self._warned = True
            logger.warning("the connection to PostgreSQL is NOT ENCRYPTED: its sslmode allows that; %s", _TLS_HINT)


_TLS_HINT = "set sslmode=verify-full or require in the DSN, or sslmode=disable if the network is trusted"


def _check_service(dsn: Dsn) -> None:
    """Raise `InvalidDsn` for an unknown service: asyncpg would ignore it and connect to another server."""
    service = dsn.parameters.get("service")
    if service is None:
        return
    file = Path(environment_variable("PGSERVICEFILE") or "~/.pg_service.conf").expanduser()
    services = ConfigParser(interpolation=None)
    try:
        services.read(file)
    except ConfigParserError as error:
        raise InvalidDsn(f"names a service, but {file} is not a valid service file") from error
    if not services.has_section(service):
        raise InvalidDsn(f"names the service {service!r}, which is not in {file}; PGSERVICEFILE can name another file")


def _attempts(dsn: Dsn) -> Sequence[tuple[Host, ...]]:
    """Return the hosts one by one, in order. A search for a standby needs all of them in one attempt."""
    attributes = dsn.parameters.get("target_session_attrs") or environment_variable("PGTARGETSESSIONATTRS")
    if len(dsn.hosts) < 2 or attributes == "prefer-standby":  # noqa: PLR2004
        return [dsn.hosts]
    return [(host,) for host in dsn.hosts]


def _addresses(hosts: tuple[Host, ...]) -> dict[str, Any]:
    if not hosts:
        return {}
    usual = environment_variable("PGPORT") or 5432
    return {"host": [host.name for host in hosts], "port": [host.port or usual for host in hosts]}


async def _reveal(secret: Secret | None, what: str, deadline: float) -> str | None:
    """Return the value. An error of its function is named without its text, which may quote the secret."""
    if not callable(secret):
        return secret
    try:
        async with asyncio.timeout_at(deadline):
            value = secret()
            value = await value if isawaitable(value) else value
    except BaseException as error:
        if not is_failure(error):
            raise
        raise DatabaseUnavailable(f"the function for the {what} failed: {type(error).__name__}") from error
    if not (value is None or isinstance(value, str)):
        raise DatabaseUnavailable(f"the function for the {what} must return str, not {type(value).__name__}")
    return value
