"""Parses a PostgreSQL DSN by libpq's rules.

`urllib.parse.urlsplit` supports one host: some patch releases of Python refuse `a:1,[::1]:3` as an invalid IPv6 URL. So this
module does not use it for hosts, and asyncpg gets hosts and credentials as arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar
from unicodedata import normalize

from service.database.dsn_parameters import decoded, options_of, read_parameters
from service.database.environment import environment_variable
from service.database.errors import InvalidDsn

T = TypeVar("T")

_ESCAPE = "a password's / # ? @ : % and space are written %2F %23 %3F %40 %3A %25 and %20"
_INVALID_HOST = f"has an invalid host or port; {_ESCAPE}"
_EXAMPLE = "postgresql://user:password@host:port/database"

_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]*))?")
HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Host:
    """A server's name, address or socket folder, with a port if the DSN has one."""

    name: str
    port: int | None = None

    @property
    def is_socket(self) -> bool:
        """Whether it is a Unix socket."""
        return self.name.startswith("/")

    @property
    def is_local(self) -> bool:
        """Whether it is this machine: a Unix socket or a loopback address."""
        if self.is_socket or self.name == "localhost":
            return True
        try:
            return ip_address(self.name).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """The parts of a DSN. Missing parts are `None`; the `PG*` variables or asyncpg's defaults apply."""

    hosts: tuple[Host, ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further parameters for asyncpg: the ones of libpq that it supports, and settings of the session."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Values for fields of `DatabaseOptions`, by the field's name."""


def parse(text: str | None) -> Dsn:
    """Parse a DSN. Raise `InvalidDsn`, without the DSN's secrets, for an invalid or ambiguous one."""
    if text is None:
        return Dsn()
    rest = _without_scheme(text.strip())
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    credentials, at, places = authority.rpartition("@")
    if "#" in rest or "@" in f"{credentials}{path}{query}":
        raise InvalidDsn(_INVALID_HOST)
    if "/" in path:
        raise InvalidDsn("has a / in the name of the database: remove it, or write %2F")
    parameters = read_parameters(query)
    options = options_of(parameters)
    user, _, password = credentials.partition(":")
    dsn = Dsn(
        hosts=_hosts(places, parameters),
        user=_one("user", decoded(user), parameters.pop("user", None)),
        password=_one("password", decoded(password), parameters.pop("password", None)),
        database=_one("database", decoded(path), parameters.pop("database", None), parameters.pop("dbname", None)),
        parameters=parameters,
        options=options,
    )
    if at and not (dsn.hosts or "service" in parameters or environment_variable("PGHOST")):
        raise InvalidDsn("has no host after the @: add one, or ?host=/run/postgresql for a Unix socket")
    return dsn


def _without_scheme(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if scheme.lower() not in {"postgresql", "postgres"} or not separator:
        raise InvalidDsn(_wrong_start(text, scheme if separator else ""))
    if any(character == " " or not character.isprintable() for character in rest):
        raise InvalidDsn(f"has a space or a control character in it; {_ESCAPE}")
    if any(normalize("NFKC", character) in "/?#@:" for character in rest if not character.isascii()):
        raise InvalidDsn(f"is not a URL; {_ESCAPE}")
    return rest


def _wrong_start(text: str, scheme: str) -> str:
    """Return the error for a DSN with a wrong beginning. The text may contain a secret anywhere."""
    if text.startswith(("'", '"')):
        return "is in quotes: remove them"
    if text.startswith("jdbc:"):
        return f"is for JDBC: remove jdbc:, and write {_EXAMPLE}"
    if command := re.match(r"(?:export\s+)?\w+\s*=\s*['\"]?postgres(?:ql)?://|psql\s", text):
        return f"has {'psql' if command[0].startswith('psql') else 'NAME='} in front, as in a shell command: write {_EXAMPLE}"
    if re.match(r"\w+\s*=", text):
        return f"is a list of key=value, which only libpq supports: write {_EXAMPLE}"
    named = scheme if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,20}", scheme) else "nothing"
    hint = ": leave out the driver's name" if "+" in named else ""
    return f"must start with postgresql://, not {named}://{hint}"


def _hosts(places: str, parameters: dict[str, str]) -> tuple[Host, ...]:
    """Return the hosts after the @, or of the parameter `host`, in order and with their ports."""
    written = tuple(_host(place, decode=True) for place in places.split(",")) if places else ()
    asked = tuple(_host(place, decode=False) for place in parameters.pop("host", "").split(",") if place)
    hosts = _one("host", written, asked) or ()
    if not hosts or "port" not in parameters:
        return hosts
    ports = [_port(port) for port in parameters.pop("port").split(",")]
    if len(ports) not in {1, len(hosts)}:
        raise InvalidDsn(f"has {len(ports)} ports for {len(hosts)} hosts")
    pairs = zip(hosts, ports if len(ports) == len(hosts) else ports * len(hosts), strict=True)
    return tuple(Host(host.name, _one("port", host.port, port)) for host, port in pairs)


def _host(place: str, *, decode: bool) -> Host:
    if place.startswith("/"):
        return Host(place)
    if (
        not decode and place.count(":") > 1 and "[" not in place
    ):  # an IPv6 address, which libpq accepts without brackets here
        place = f"[{place}]"
    match = _HOST.fullmatch(place)
    if match is None:
        raise InvalidDsn(f"{_INVALID_HOST}; write an IPv6 address in brackets")
    name = match["name"] if match["address"] is None else _address(match["address"])
    if not name:
        raise InvalidDsn("has no host: add one, or ?host=/run/postgresql for a Unix socket")
    return Host((decoded(name) or "") if decode else name, _port(match["port"]))


def _address(text: str) -> str:
    try:
        ip_address(decoded(text) or "")
    except ValueError:
        raise InvalidDsn(_INVALID_HOST) from None
    return text


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= HIGHEST_PORT):
        raise InvalidDsn(_INVALID_HOST)
    return int(text)


def _one(what: str, *values: T | None) -> T | None:
    """Return the value that is set. Raise `InvalidDsn` for two different ones."""
    named = [value for value in values if value]
    if any(value != named[0] for value in named):
        raise InvalidDsn(f"sets the {what} twice, to different values; keep one of them")
    return named[0] if named else None
