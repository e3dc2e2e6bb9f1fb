"""Mode `open` is for this machine alone."""

from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import problem_response

_IN_PROCESS = "testclient"
"""What Starlette's test client says it is; no socket has such an address."""


class LoopbackOnly:
    """Answers 403 to every client whose address, after proxy headers, is not this machine's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if scope["type"] == "lifespan" or _is_loopback(scope.get("client")):
            await self._app(scope, receive, send)
            return
        detail = "auth.mode is open: it answers only clients on the machine that it runs on"
        await problem_response(scope, 403, detail)(scope, receive, send)


def _is_loopback(client: tuple[str, int] | None) -> bool:
    if client is None:  # a Unix socket: whoever is behind it may be a proxy
        return False
    try:
        address = ip_address(client[0].removeprefix("::ffff:"))  # IPv4, at a socket that takes both
    except ValueError:
        return client[0] == _IN_PROCESS
    return address.is_loopback
