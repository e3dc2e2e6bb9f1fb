"""Which requests the service lets in at all. A page that points its own name at this address is none of them (DNS rebinding)."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.errors import Forbidden
from service.web.hosts import ANY

_FOR_PROBES = "/health/"
"""Supervisors and load balancers ask by address, and there is nothing to take or to change below this path."""
_IN_PROCESS = "testclient"
"""What Starlette's test client says it is; no socket has such an address."""


class Hosts:
    """The hosts of a configuration: names, addresses, `*.example.com` for all names below one, `*` for any."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._any = ANY in allowed
        self._exact = frozenset(host.encode() for host in allowed)
        self._below = tuple(host[1:].encode() for host in allowed if host.startswith("*."))

    def check(self, scope: Scope) -> None:
        """Raises a 400 for a request without one host, and a 421 for one that is meant for another host.

        A health check in HTTP/1.0, as HAProxy sends it, needs none.
        """
        if self._any:
            return
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1:
            if not named and scope.get("http_version") == "1.0" and _is_probe(scope):
                return
            raise HTTPException(400, "Host: there must be one such header")
        host = _without_port(named[0])
        known = host in self._exact or (self._below and host.endswith(self._below))
        if not known and not _is_probe(scope):
            raise HTTPException(421, "Host: the service does not answer to this name")


def _is_probe(scope: Scope) -> bool:
    """Whether the path is a probe's, wherever the service is mounted."""
    return get_route_path(scope).startswith(_FOR_PROBES)


@lru_cache(maxsize=64)
def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    name = name if colon and (port.isdigit() or not port) else host
    return name.lower().removesuffix(b".")  # at the root of the DNS: the same host


def check_query(scope: Scope) -> None:
    """Raises a 400 for a query that Starlette's redirects and URLs cannot read."""
    if not scope.get("query_string", b"").isascii():
        raise HTTPException(400, "query: other characters than ASCII must be percent-encoded")


def check_upgrade(scope: Scope) -> None:
    """Raises a 400 for a body behind `Upgrade`, and closes the connection: uvicorn's own protocol reads it as a request.

    It is for requests that did not come through the service's protocol: the one below another application, whose lifespan
    does not reach this one, has uvicorn's (uvicorn #2722).
    """
    names = {name for name, value in scope["headers"] if value != b"0"}
    if scope["type"] == "http" and b"upgrade" in names and names & {b"content-length", b"transfer-encoding"}:
        raise HTTPException(400, "Upgrade: send a request with a body without it", {"Connection": "close"})


def check_loopback(scope: Scope) -> None:
    """Raises `Forbidden` for every client whose address, after proxy headers, is not this machine's own."""
    client = scope.get("client")  # none at a Unix socket: whoever is behind it may be a proxy
    if client is None or not _is_loopback(client[0]):
        raise Forbidden("auth.mode is open: it answers only clients on the machine that it runs on")


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host.removeprefix("::ffff:"))  # IPv4, at a socket that takes both
    except ValueError:
        return host == _IN_PROCESS
    return address.is_loopback
