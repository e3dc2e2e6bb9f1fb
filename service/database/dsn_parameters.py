"""The parameters of a DSN: the ones for asyncpg, for the session and for the pool's options, and what to write for others."""

import re
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import unquote

from service.database.errors import InvalidDsn
from service.database.options import TlsMode

SYSTEM = "system"
"""The value of `sslrootcert` for the certificate authorities that this machine trusts."""

_ASYNCPG_PARAMETERS = frozenset(
    {
        "database", "dbname", "gsslib", "host", "krbsrvname", "passfile", "password", "port", "service",
        "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcrl", "sslkey", "sslmode", "sslnegotiation",
        "sslpassword", "sslrootcert", "target_session_attrs", "user",
    }
)  # fmt: skip
_TIMEOUT_OPTIONS = {
    "statement_timeout": "statement_timeout",
    "idle_in_transaction_session_timeout": "idle_in_transaction_timeout",
}
"""Settings of the session, with the option of the pool for each."""
_POOL_PARAMETERS = frozenset(
    {"application_name", "connect_timeout", "options", "pgbouncer", "statement_cache_size", *_TIMEOUT_OPTIONS}
)

CHOICES = {
    "sslmode": get_args(TlsMode),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
}
"""The valid values of parameters with a fixed set."""

_ACCEPTED_VALUES = {
    "channel_binding": {"disable", "prefer"},
    "gssencmode": {"disable", "prefer"},
    "load_balance_hosts": {"disable"},
    "sslcompression": {"0"},
    "sslsni": {"1"},
}
"""Parameters of libpq with the values that match asyncpg's behaviour."""

_POOL_SIZE = "set database.max_size"
_NO_CACHE = "set database.statement_cache_size to 0"
_SCHEMA = "write search_path"
_TLS = "write sslmode=verify-full or sslmode=require"
_REMOVE = "remove it"
_APPLICATION_NAME = "write application_name"
_CONNECT_TIMEOUT = "write connect_timeout"
_INSTEAD = {
    "ApplicationName": _APPLICATION_NAME,
    "channel_binding": "remove it; sslmode=verify-full and sslrootcert=system verify the server",
    "charset": "write client_encoding",
    "command_timeout": "set database.command_timeout",
    "connectTimeout": _CONNECT_TIMEOUT,
    "connection_limit": _POOL_SIZE,
    "currentSchema": _SCHEMA,
    "default_query_exec_mode": _NO_CACHE,
    "encoding": "write client_encoding",
    "fallback_application_name": _APPLICATION_NAME,
    "hostaddr": "write host",
    "loginTimeout": _CONNECT_TIMEOUT,
    "max_overflow": _POOL_SIZE,
    "max_size": _POOL_SIZE,
    "min_size": "set database.min_size",
    "pool": _POOL_SIZE,
    "pool_max_conns": _POOL_SIZE,
    "pool_recycle": "set database.max_lifetime",
    "pool_size": _POOL_SIZE,
    "pool_timeout": "set database.acquire_timeout",
    "prepareThreshold": _NO_CACHE,
    "prepared_statement_cache_size": _NO_CACHE,
    "prepared_statement_name_func": _NO_CACHE,
    "prepared_statements": _NO_CACHE,
    "requiressl": _TLS,
    "schema": _SCHEMA,
    "socketTimeout": "set database.command_timeout",
    "socket_timeout": "set database.command_timeout",
    "ssl": _TLS,
    "ssl_ca": "write sslrootcert",
    "ssl_cert": "write sslcert",
    "ssl_key": "write sslkey",
    "sslaccept": _TLS,
    "timeout": _CONNECT_TIMEOUT,
    "unix_sock": "write host with the folder of the socket",
    **dict.fromkeys(
        (
            "gssencmode", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts",
            "pool_mode", "reconnect", "require_auth", "requirepeer", "sslcertmode", "sslcompression", "sslcrldir",
            "sslsni", "supa", "tcpKeepAlive", "tcp_user_timeout", "uselibpqcompat",
        ),
        _REMOVE,
    ),
}  # fmt: skip
"""Parameters of other drivers, with the replacement. asyncpg would send them to the server, which would refuse them."""

_SPELLINGS = {name.lower(): name for name in (*_ASYNCPG_PARAMETERS, *_POOL_PARAMETERS, *_INSTEAD)}
_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_OPTION = re.compile(r"(?:^|\s)(?:-c\s*|--)([\w.-]+)=((?:\\.|\S)*)")
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400}


def decoded(text: str) -> str:
    """Decode the %-escapes in a part of a DSN. Raise `InvalidDsn` for a % without an escape."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise InvalidDsn("has a % that is not part of an escape: write %25 for a %")
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidDsn("has %-escapes that are not UTF-8") from None
    if "\0" in plain:
        raise InvalidDsn("has a NUL (%00), which PostgreSQL does not accept")
    return plain


def read_parameters(query: str) -> dict[str, str]:
    """Parse the parameters after the `?`. Raise `InvalidDsn` for one that asyncpg would ignore or the server refuse."""
    found: dict[str, str] = {}
    for each in filter(None, query.split("&")):
        name, _, text = each.partition("=")
        if not _NAME.fullmatch(name) or "?" in text:
            raise InvalidDsn("has parameters that are not name=value pairs joined by &")
        value = _value(name, text)
        if found.setdefault(name, value) != value:
            raise InvalidDsn(f"sets {name} twice, to different values; keep one of them")
    _complete_tls(found)
    return {name: value for name, value in found.items() if value not in _ACCEPTED_VALUES.get(name, ())}


def _complete_tls(found: dict[str, str]) -> None:
    """Check that sslrootcert=system comes with full verification, as libpq requires."""
    if found.get("sslrootcert") != SYSTEM:
        return
    if found.setdefault("sslmode", "verify-full") != "verify-full":
        raise InvalidDsn("has sslrootcert=system, which requires sslmode=verify-full")
    if lost := sorted(found.keys() & {"sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version"}):
        raise InvalidDsn(f"has {', '.join(lost)}, which cannot be combined with sslrootcert=system")


def _value(name: str, text: str) -> str:
    if (usual := _SPELLINGS.get(name.lower(), name)) != name:
        raise InvalidDsn(f"has {name}: write {usual}")
    if not text:
        raise InvalidDsn(f"has no value for {name}: add one, or remove {name}")
    if "+" in text and name in {"user", "password", "sslpassword"}:
        raise InvalidDsn(f"has a + in {name}, which some programs read as a space: write %2B or %20")
    value = decoded(text.replace("+", " "))
    if name in _INSTEAD and value not in _ACCEPTED_VALUES.get(name, ()):
        raise InvalidDsn(f"has {name}: asyncpg does not support it in a DSN; {_INSTEAD[name]}")
    if name in CHOICES and value not in CHOICES[name]:
        raise InvalidDsn(f"has an {name} that is not one of {', '.join(CHOICES[name])}")
    return value


def options_of(parameters: dict[str, str]) -> dict[str, Any]:
    """Return values for fields of `DatabaseOptions`. Remove from `parameters` what only the pool uses."""
    options: dict[str, Any] = {name: parameters[name] for name in ("sslmode", "application_name") if name in parameters}
    if "connect_timeout" in parameters:
        options["connect_timeout"] = _number("connect_timeout", parameters.pop("connect_timeout"), least=1)
    if "statement_cache_size" in parameters:
        options["statement_cache_size"] = int(_number("statement_cache_size", parameters.pop("statement_cache_size")))
    if parameters.pop("pgbouncer", "false") != "false":  # Prisma's name for: no prepared statements
        options["statement_cache_size"] = 0
    for name, value in (*_of_command_line(parameters.get("options", "")), *parameters.items()):
        if name in _TIMEOUT_OPTIONS:
            options[_TIMEOUT_OPTIONS[name]] = _seconds(name, value)
        elif name == "application_name":
            options[name] = value
    return options


def _of_command_line(text: str) -> Iterator[tuple[str, str]]:
    """Yield the settings in `options`, for example `-c statement_timeout=5s`."""
    for name, value in _OPTION.findall(text):
        yield name.replace("-", "_").lower(), re.sub(r"\\(.)", r"\1", value)


def _number(name: str, text: str, least: int = 0) -> float:
    if not (text.isascii() and text.isdecimal() and int(text) >= least):
        raise InvalidDsn(f"has a {name} that is not a number of at least {least}")
    return float(text)


def _seconds(name: str, text: str) -> float:
    """Parse a time in PostgreSQL's notation: a number of milliseconds, or a number with a unit."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise InvalidDsn(f"has a {name} that is not a time, for example 5s or 5000")
    return float(match[1]) * _SECONDS[match[2]]
