"""Mode `open` is for this machine alone."""

from functools import lru_cache
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Forbidden

_IN_PROCESS = "testclient"
"""What Starlette's test client says it is; no socket has such an address."""
_POLICY_VIOLATION = 1008


class LoopbackOnly:
    """Refuses every client whose address, after proxy headers, is not this machine's own. Raises `Forbidden`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        client = scope.get("client")  # none at a Unix socket: whoever is behind it may be a proxy
        if scope["type"] == "lifespan" or (client is not None and _is_loopback(client[0])):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            raise Forbidden("auth.mode is open: it answers only clients on the machine that it runs on")


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host.removeprefix("::ffff:"))  # IPv4, at a socket that takes both
    except ValueError:
        return host == _IN_PROCESS
    return address.is_loopback
