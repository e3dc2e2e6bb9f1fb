"""What a DSN may be, said before asyncpg meets it."""

from typing import get_args
from urllib.parse import parse_qsl, urlsplit

from service.database.options import TlsMode

_HIGHEST_PORT = 65_535
_ESCAPE = "a password's / # ? @ and : are written %2F %23 %3F %40 and %3A"

_LIBPQ_ONLY = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "sslcompression",
        "tcp_user_timeout",
    }
)
"""What libpq understands in a DSN and asyncpg would send to the server as a setting, which refuses the connection."""


def check_dsn(dsn: str) -> None:
    """Raises `ValueError`, without the DSN's secrets, when asyncpg would refuse it or misread it."""
    try:
        parts = urlsplit(dsn)
    except ValueError:  # its text quotes the DSN
        raise ValueError(f"is not a URL; {_ESCAPE}") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        hint = ": leave out the driver's name" if "+" in parts.scheme else ""
        raise ValueError(f"must start with postgresql://, not {parts.scheme or 'nothing'}://{hint}")
    if parts.fragment or not all(_is_port(host) for host in parts.netloc.rpartition("@")[2].split(",")):
        raise ValueError(f"has a host or port that cannot be; {_ESCAPE}")
    options = dict(parse_qsl(parts.query))
    if (mode := options.get("sslmode")) is not None and mode not in get_args(TlsMode):
        raise ValueError(f"asks for an sslmode that is none of {', '.join(get_args(TlsMode))}")
    names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if refused := sorted(names & _LIBPQ_ONLY):
        raise ValueError(
            f"asyncpg does not know {', '.join(refused)} in a DSN; times are set by database.connect_timeout etc."
        )


def _is_port(host: str) -> bool:
    """Whether what follows the host's name is a port, or nothing does. An IPv6 address is in brackets."""
    _, colon, port = host.rpartition("]")[2].rpartition(":")
    return not colon or not port or (port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT)
