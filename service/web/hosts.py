"""Lists of hosts and of web origins, as they are configured."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

ANY = "*"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(r"\*|https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")

_WITH_DEFAULT_PORT = re.compile(r"https:.*:443|http:.*:80")


def _listed(value: object) -> object:
    """An environment variable may have a list as JSON, or with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _host(text: str) -> str:
    if not _HOST.fullmatch(text.lower()):
        raise ValueError(
            "must be a host without scheme and port: api.example.com, *.example.com, 127.0.0.1, [::1], or *"
        )
    return text.lower()


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin without a path, in lower case: https://app.example.com")
    if _WITH_DEFAULT_PORT.fullmatch(text):
        raise ValueError("must be without its port: browsers leave out the one that the scheme stands for")
    return text


HostNames = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], BeforeValidator(_listed)]
"""Hosts, in lower case."""
WebOrigins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_listed)]
"""Origins, as a browser sends them."""


def authority(host: str, port: int) -> str:
    """Host and port as a URL has them. For all addresses of this machine (`0.0.0.0`, `::`), one that a browser can open."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what is replaced
    return f"[{host.replace('%', '%25')}]:{port}" if ":" in host else f"{host}:{port}"
