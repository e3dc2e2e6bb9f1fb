"""The same guards for uvicorn's other protocol, which `--http h11` chooses. h11 reads bodies and trailers as it should."""

import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.web.server.guard import (
    Guarded,
    Refused,
    check_head,
    no_proxy,
    opens_websocket,
    origin_form,
    too_large_head,
)
from service.web.settings import HttpSettings

_TOO_LARGE = 431


class _Connection(h11.Connection):
    """Refuses a head that is too large, and one with two lengths for its body."""

    def __init__(self, limits: HttpSettings) -> None:
        super().__init__(h11.SERVER, limits.max_head_bytes)
        self._limits = limits

    def next_event(self) -> Any:
        event = super().next_event()
        if type(event) is h11.Request:
            try:
                event = self._checked(event)
            except Refused as error:  # uvicorn expects h11's own error alone
                raise h11.RemoteProtocolError(str(error)) from error
        return event

    def _checked(self, request: h11.Request) -> h11.Request:
        headers = list(request.headers)
        check_head(self._limits, request.target, headers)
        if request.method == b"CONNECT":
            raise no_proxy()
        if not request.http_version.startswith(b"1."):
            raise Refused(400, "request: is of another version than HTTP/1")
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
            raise Refused(400, "request: has both Content-Length and Transfer-Encoding")
        if request.target.startswith(b"/"):
            return request
        target = origin_form(request.target, headers)
        return h11.Request(method=request.method, headers=headers, target=target, http_version=request.http_version)


class GuardedH11Protocol(H11Protocol, Guarded):
    """One connection of a client."""

    __slots__ = ()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begin_guard()
        self.conn = _Connection(self._limits)

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request no longer than for the next one."""
        super().connection_made(transport)
        self._wait_idle()

    def data_received(self, data: bytes) -> None:
        """Parse what the client has sent."""
        if self._ended:
            return
        super().data_received(data)
        if self._is_between_requests():
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_waiting()

    def shutdown(self) -> None:
        """Uvicorn's way to tell a connection that the server ends."""
        if self._ended:
            self.transport.close()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the error says more
        """Refuse with the status that fits. uvicorn calls it for each error of h11."""
        error = sys.exception()
        cause = error.__cause__ if error is not None else None
        if isinstance(cause, Refused):
            self._refuse(cause)
        elif getattr(error, "error_status_hint", None) == _TOO_LARGE:
            self._refuse(too_large_head(self._limits))
        else:
            self._refuse(Refused(400, "request: cannot be read as HTTP"))

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over."""
        self._ended = True
        super().handle_websocket_upgrade(event)

    def _should_upgrade(self) -> bool:
        opens = opens_websocket(self.scope["method"], self.scope["http_version"], self.headers)
        return opens and self._should_upgrade_to_ws()

    def _begins_head(self) -> bool:
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def _expects_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY
