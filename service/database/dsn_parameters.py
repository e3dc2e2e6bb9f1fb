"""The parameters of a DSN: which of them asyncpg, the session and the pool's options understand, and what becomes of others."""

import re
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import unquote

from service.database.errors import InvalidDsn
from service.database.options import TlsMode

SYSTEM = "system"
"""The value of `sslrootcert` for the certificate authorities that this machine trusts."""

_OF_ASYNCPG = frozenset(
    {
        "database", "dbname", "gsslib", "host", "krbsrvname", "passfile", "password", "port", "service",
        "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcrl", "sslkey", "sslmode", "sslnegotiation",
        "sslpassword", "sslrootcert", "target_session_attrs", "user",
    }
)  # fmt: skip
_TIMES = {
    "statement_timeout": "statement_timeout",
    "idle_in_transaction_session_timeout": "idle_in_transaction_timeout",
}
"""Settings of the session that the pool has an option for."""
_OF_THE_POOL = frozenset(
    {"application_name", "connect_timeout", "options", "pgbouncer", "statement_cache_size", *_TIMES}
)

CHOICES = {
    "sslmode": get_args(TlsMode),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
}
"""The values of those parameters that have a few."""

_AS_IT_IS = {
    "channel_binding": {"disable", "prefer"},
    "gssencmode": {"disable", "prefer"},
    "load_balance_hosts": {"disable"},
    "sslcompression": {"0"},
    "sslsni": {"1"},
}
"""Parameters of libpq with the values that ask for what asyncpg does in any case."""

_POOL_SIZE = "set database.max_size"
_NO_CACHE = "set database.statement_cache_size to 0"
_SCHEMA = "write search_path"
_TLS = "write sslmode=verify-full or sslmode=require"
_LEAVE = "leave it out"
_NAME_OF_PROGRAM = "write application_name"
_SECONDS_TO_CONNECT = "write connect_timeout"
_INSTEAD = {
    "ApplicationName": _NAME_OF_PROGRAM,
    "channel_binding": "leave it out; sslmode=verify-full and sslrootcert=system show whose server it is",
    "charset": "write client_encoding",
    "command_timeout": "set database.command_timeout",
    "connectTimeout": _SECONDS_TO_CONNECT,
    "connection_limit": _POOL_SIZE,
    "currentSchema": _SCHEMA,
    "default_query_exec_mode": _NO_CACHE,
    "encoding": "write client_encoding",
    "fallback_application_name": _NAME_OF_PROGRAM,
    "hostaddr": "write host",
    "loginTimeout": _SECONDS_TO_CONNECT,
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
    "timeout": _SECONDS_TO_CONNECT,
    "unix_sock": "write host with the folder of the socket",
    **dict.fromkeys(
        (
            "gssencmode", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts",
            "pool_mode", "reconnect", "require_auth", "requirepeer", "sslcertmode", "sslcompression", "sslcrldir",
            "sslsni", "supa", "tcpKeepAlive", "tcp_user_timeout", "uselibpqcompat",
        ),
        _LEAVE,
    ),
}  # fmt: skip
"""What others understand in a DSN, and asyncpg would send to the server as a setting, which refuses the connection."""

_SPELLINGS = {name.lower(): name for name in (*_OF_ASYNCPG, *_OF_THE_POOL, *_INSTEAD)}
_NAME = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_OPTION = re.compile(r"(?:^|\s)(?:-c\s*|--)([\w.-]+)=((?:\\.|\S)*)")
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400}


def decoded(text: str) -> str:
    """A part of a DSN with its %-escapes undone. Raises `InvalidDsn` for a % that begins none."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise InvalidDsn("has a % that begins no escape: a % itself is written %25")
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidDsn("has %-escapes that are not UTF-8") from None
    if "\0" in plain:
        raise InvalidDsn("has a NUL (%00), which PostgreSQL does not take")
    return plain


def read_parameters(query: str) -> dict[str, str]:
    """The parameters after the `?`. Raises `InvalidDsn` for what asyncpg would lose or send to the server in vain."""
    found: dict[str, str] = {}
    for each in filter(None, query.split("&")):
        name, _, text = each.partition("=")
        if not _NAME.fullmatch(name) or "?" in text:
            raise InvalidDsn("has parameters that are not name=value, joined by &")
        value = _value(name, text)
        if found.setdefault(name, value) != value:
            raise InvalidDsn(f"has {name} twice, and not the same: keep one of them")
    _complete_tls(found)
    return {name: value for name, value in found.items() if value not in _AS_IT_IS.get(name, ())}


def _complete_tls(found: dict[str, str]) -> None:
    """As in libpq, the certificate authorities of this machine go with a full verification alone."""
    if found.get("sslrootcert") != SYSTEM:
        return
    if found.setdefault("sslmode", "verify-full") != "verify-full":
        raise InvalidDsn("has sslrootcert=system, which goes with sslmode=verify-full alone")
    if lost := sorted(found.keys() & {"sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version"}):
        raise InvalidDsn(f"has {', '.join(lost)}, which does not go with sslrootcert=system")


def _value(name: str, text: str) -> str:
    if (usual := _SPELLINGS.get(name.lower(), name)) != name:
        raise InvalidDsn(f"has {name}: write {usual}")
    if not text:
        raise InvalidDsn(f"has no value for {name}: give one, or leave it out")
    if "+" in text and name in {"user", "password", "sslpassword"}:
        raise InvalidDsn(f"has a + in {name}, which some read as a space: write %2B, or %20")
    value = decoded(text.replace("+", " "))
    if name in _INSTEAD and value not in _AS_IT_IS.get(name, ()):
        raise InvalidDsn(f"has {name}: asyncpg does not know {name} in a DSN; {_INSTEAD[name]}")
    if name in CHOICES and value not in CHOICES[name]:
        raise InvalidDsn(f"has an {name} that is none of {', '.join(CHOICES[name])}")
    return value


def options_of(parameters: dict[str, str]) -> dict[str, Any]:
    """The values for fields of `DatabaseOptions`. Those that are nobody else's business are taken out of `parameters`."""
    options: dict[str, Any] = {name: parameters[name] for name in ("sslmode", "application_name") if name in parameters}
    if "connect_timeout" in parameters:
        options["connect_timeout"] = _number("connect_timeout", parameters.pop("connect_timeout"), least=1)
    if "statement_cache_size" in parameters:
        options["statement_cache_size"] = int(_number("statement_cache_size", parameters.pop("statement_cache_size")))
    if parameters.pop("pgbouncer", "false") != "false":  # Prisma's word for: no prepared statements
        options["statement_cache_size"] = 0
    for name, value in (*_of_command_line(parameters.get("options", "")), *parameters.items()):
        if name in _TIMES:
            options[_TIMES[name]] = _seconds(name, value)
        elif name == "application_name":
            options[name] = value
    return options


def _of_command_line(text: str) -> Iterator[tuple[str, str]]:
    """The settings in `options`, such as `-c statement_timeout=5s`."""
    for name, value in _OPTION.findall(text):
        yield name.replace("-", "_").lower(), re.sub(r"\\(.)", r"\1", value)


def _number(name: str, text: str, least: int = 0) -> float:
    if not (text.isascii() and text.isdecimal() and int(text) >= least):
        raise InvalidDsn(f"has a {name} that is no number of at least {least}")
    return float(text)


def _seconds(name: str, text: str) -> float:
    """A time as PostgreSQL writes it: a number of milliseconds, or one with a unit."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise InvalidDsn(f"has a {name} that is no time such as 5s or 5000")
    return float(match[1]) * _SECONDS[match[2]]
