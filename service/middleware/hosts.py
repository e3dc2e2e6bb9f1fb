"""Which hosts the service answers to. A page that points its own name at this address is not one of them (DNS rebinding)."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.types import Scope

from service.hosts import ANY

_FOR_PROBES = "/health/"
"""Supervisors and load balancers ask by address, and there is nothing to take or to change below this path."""


class Hosts:
    """The hosts of a configuration: names, addresses, `*.example.com` for all names below one, `*` for any."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._any = ANY in allowed
        self._exact = frozenset(host.encode() for host in allowed)
        self._below = tuple(host[1:].encode() for host in allowed if host.startswith("*."))

    def check(self, scope: Scope) -> None:
        """Raises a 400 for a request without one host, and a 421 for one that is meant for another host."""
        if self._any:
            return
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1:
            raise HTTPException(400, "Host: there must be one such header")
        host = _without_port(named[0])
        known = host in self._exact or (self._below and host.endswith(self._below))
        if not known and not scope["path"].startswith(_FOR_PROBES):
            raise HTTPException(421, "Host: the service does not answer to this name")


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return (name if colon and (port.isdigit() or not port) else host).lower()
