"""TLS towards PostgreSQL: the mode for a host, and the encryption of an open connection."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.database.dsn import Dsn, Host
from service.database.dsn_parameters import SYSTEM
from service.database.environment import environment_variable
from service.database.errors import InvalidDsn

if TYPE_CHECKING:
    import asyncpg

    from service.database.options import TlsMode

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_AT_HOME = Path("~/.postgresql/root.crt")
"""Where libpq and asyncpg look for the authorities' certificates by default."""


def explicit_mode(dsn: Dsn, configured: TlsMode | None) -> str | None:
    """Return the mode in the DSN, in the options or in PGSSLMODE; `None` if none of them sets one."""
    in_file = "prefer" if "service" in dsn.parameters else None  # asyncpg reads the service's file, and may find more
    in_full = "verify-full" if _root(dsn) == SYSTEM else None  # as in libpq
    return dsn.options.get("sslmode") or configured or environment_variable("PGSSLMODE") or in_full or in_file


def _root(dsn: Dsn) -> str | None:
    return dsn.parameters.get("sslrootcert") or environment_variable("PGSSLROOTCERT")


def are_local(hosts: Sequence[Host]) -> bool:
    """Return whether all hosts are this machine. Without hosts, check those of PGHOST; the default is a local socket."""
    named = hosts or [Host(name) for name in (environment_variable("PGHOST") or "").split(",") if name]
    return all(host.is_local for host in named)


def tls_arguments(dsn: Dsn, configured: TlsMode | None) -> dict[str, Any]:
    """Return the `ssl` argument for `asyncpg.connect`, if any. Raise `InvalidDsn` for a missing file."""
    _check_files(dsn)
    if _root(dsn) == SYSTEM and explicit_mode(dsn, configured) == "verify-full":
        return {"ssl": _of_the_system(dsn)}
    if "sslmode" in dsn.parameters:
        return {}
    is_empty = "PGSSLMODE" in os.environ and not environment_variable(
        "PGSSLMODE"
    )  # means unset, but asyncpg takes it for a mode
    return {"ssl": configured or ("prefer" if is_empty else None)}


def _check_files(dsn: Dsn) -> None:
    named = {name: dsn.parameters[name] for name in _FILES if name in dsn.parameters}
    if missing := [f"{name}={path}" for name, path in named.items() if path != SYSTEM and not Path(path).is_file()]:
        raise InvalidDsn(f"names a file that does not exist: {', '.join(missing)}")


def check_variables() -> None:
    """Raise `InvalidDsn` if a variable of libpq names a missing file: Python's error has no file name."""
    named = {name: environment_variable(f"PG{name.upper()}") for name in _FILES}
    if named["sslrootcert"] == SYSTEM:
        raise InvalidDsn("cannot be used with PGSSLROOTCERT=system, which requires sslmode=verify-full")
    if missing := [f"PG{name.upper()}={path}" for name, path in named.items() if path and not Path(path).is_file()]:
        raise InvalidDsn(f"cannot be used with {', '.join(missing)}: no such file")


def check_root(dsn: Dsn, configured: TlsMode | None) -> None:
    """Raise `InvalidDsn` if the mode verifies certificates, and no certificate authorities are configured."""
    mode = explicit_mode(dsn, configured) or ""
    has_root = _root(dsn) or _AT_HOME.expanduser().exists()
    if mode.startswith("verify") and not has_root:
        add = "sslrootcert=/path/to/ca.crt, or with verify-full sslrootcert=system"
        raise InvalidDsn(f"has sslmode={mode} but no certificate authorities: add {add}")


def _of_the_system(dsn: Dsn) -> ssl.SSLContext:
    """Return a context that verifies certificate and host name against the authorities that this machine trusts."""
    context = ssl.create_default_context()
    if "sslcert" in dsn.parameters:
        of = dsn.parameters.get
        context.load_cert_chain(dsn.parameters["sslcert"], of("sslkey"), of("sslpassword", ""))
    return context


def is_encrypted(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Return whether the connection is encrypted."""
    return _tls_of(connection) is not None


def is_local(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Return whether the server is this machine."""
    return is_socket(connection) or Host(_address_of(connection)[0]).is_local


def is_socket(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Return whether the connection is a Unix socket."""
    return isinstance(_address_of(connection), str)


def encryption(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    """Describe the encryption, and how far the server's certificate was verified."""
    tls = _tls_of(connection)
    if tls is None:
        return "not encrypted"
    if tls.context.verify_mode == ssl.CERT_NONE:
        verified = "certificate not verified"
    elif tls.context.check_hostname:
        verified = "certificate and host name verified"
    else:
        verified = "certificate verified, host name not"
    return f"encrypted ({tls.version()}), {verified}"


def _tls_of(connection: asyncpg.Connection[asyncpg.Record]) -> ssl.SSLObject | None:
    transport = connection._transport  # type: ignore[attr-defined]  # noqa: SLF001 - asyncpg has no public way
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    return tls


def _address_of(connection: asyncpg.Connection[asyncpg.Record]) -> str | tuple[str, int]:
    address: str | tuple[str, int] = connection._addr  # type: ignore[attr-defined]  # noqa: SLF001 - asyncpg has no public way
    return address
