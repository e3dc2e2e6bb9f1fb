"""Opening connections to the first of a DSN's hosts that will do."""

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
from service.database.dsn import Dsn, Host, parse
from service.database.dsn_parameters import SYSTEM
from service.database.errors import DatabaseUnavailable, InvalidDsn
from service.database.failures import breaks_connection
from service.database.initialise import is_failure
from service.database.options import DatabaseOptions, TlsMode
from service.database.variables import given

logger = logging.getLogger("service.database")

Secret = str | Callable[[], "str | Awaitable[str | None] | None"]
"""A value, or a function that gives it anew for each connection, so that it can be rotated. The function may be async."""

_HINT = "a remote server is asked for TLS here; where the network between is trusted, say sslmode=disable in the DSN"


class Connector:
    """Opens connections to one PostgreSQL, as its DSN and the options say; hosts never go through `urllib.parse`.

    `remote_sslmode`: TLS towards another machine where neither the DSN nor the options nor PGSSLMODE names a mode.

    Raises `InvalidDsn` for a DSN that cannot be used; one that a function gives is looked at for each connection.
    """

    def __init__(
        self, dsn: Secret | None, password: Secret | None, options: DatabaseOptions, remote_sslmode: TlsMode = "prefer"
    ) -> None:
        self._dsn = dsn
        self._password = password
        self._options = options
        self._remote_sslmode = remote_sslmode
        self._warned = False
        self.statement_timeout = options.statement_timeout
        """Seconds that the server gives a statement on the connections it opens, as the DSN or else the options say; 0: none."""
        if not callable(dsn):
            self._read(dsn)

    async def connect(self, *, server_settings: Mapping[str, str], **arguments: Any) -> Any:
        """A connection, within `connect_timeout` seconds, with what a function takes to give the password among them.

        `server_settings`: the session's, in so far as the DSN does not name them. `arguments`: for `asyncpg.connect`.

        Raises `DatabaseUnavailable` when a function for DSN or password fails, `InvalidDsn`, and what `asyncpg.connect`
        raises.
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
        """A connection to the first host that will do, with a share of the time for each.

        asyncpg has one limit for all of them: a first host that is gone without a word would use it up, and the second, to
        which a standby was promoted, would never be asked.
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
            if type(error) is not ConnectionError:  # refused, reset: not asyncpg's own, for a server without TLS
                raise
            raise ConnectionError(f"{error}: {_HINT}") from error

    def _read(self, text: str | None) -> Dsn:
        """The DSN. Raises `InvalidDsn` for one that contradicts an option that was set."""
        dsn = parse(text)
        _check_service(dsn)
        defaults = DatabaseOptions()
        for name, value in dsn.options.items():
            own = getattr(self._options, name)
            if own not in (value, getattr(defaults, name)):
                raise InvalidDsn(f"says {value} for {name}, and the options say {own}: keep one of them")
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
        """Say it once, where a remote server is asked for TLS unless somebody says otherwise."""
        wanted = self._remote_sslmode != "prefer" and tls.explicit_mode(dsn, self._options.sslmode) != "disable"
        if wanted and not self._warned and not (tls.is_encrypted(connection) or tls.is_local(connection)):
            self._warned = True
            logger.warning("the connection to PostgreSQL is NOT ENCRYPTED: its sslmode allows that; %s", _SAY)


_SAY = "say sslmode=verify-full or require in the DSN, or sslmode=disable where the network between is trusted"


def _check_service(dsn: Dsn) -> None:
    """Raises `InvalidDsn` for a service that no file has: asyncpg would go without it, to another server."""
    service = dsn.parameters.get("service")
    if service is None:
        return
    file = Path(given("PGSERVICEFILE") or "~/.pg_service.conf").expanduser()
    services = ConfigParser(interpolation=None)
    try:
        services.read(file)
    except ConfigParserError as error:
        raise InvalidDsn(f"names a service, and {file} is no file of services") from error
    if not services.has_section(service):
        raise InvalidDsn(f"names the service {service!r}, which is not in {file}: PGSERVICEFILE names another file")


def _attempts(dsn: Dsn) -> Sequence[tuple[Host, ...]]:
    """The hosts one by one, in their order. A search for a standby has to see all of them at once."""
    attributes = dsn.parameters.get("target_session_attrs") or given("PGTARGETSESSIONATTRS")
    if len(dsn.hosts) < 2 or attributes == "prefer-standby":  # noqa: PLR2004
        return [dsn.hosts]
    return [(host,) for host in dsn.hosts]


def _addresses(hosts: tuple[Host, ...]) -> dict[str, Any]:
    if not hosts:
        return {}
    usual = given("PGPORT") or 5432
    return {"host": [host.name for host in hosts], "port": [host.port or usual for host in hosts]}


async def _reveal(secret: Secret | None, what: str, deadline: float) -> str | None:
    """The value. What a function for it raises is named without its text, which may quote the secret."""
    if not callable(secret):
        return secret
    try:
        async with asyncio.timeout_at(deadline):
            value = secret()
            value = await value if isawaitable(value) else value
    except BaseException as error:
        if not is_failure(error):
            raise
        raise DatabaseUnavailable(f"the function that gives the {what} failed: {type(error).__name__}") from error
    if not (value is None or isinstance(value, str)):
        raise DatabaseUnavailable(f"the function that gives the {what} gave no text, but {type(value).__name__}")
    return value
