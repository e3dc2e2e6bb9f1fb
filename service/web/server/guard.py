"""What both protocols do about a client that sends too much, too slowly, or what is no HTTP."""

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from starlette.exceptions import HTTPException
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from service.web.headers import SECURITY_HEADERS, RawHeader
from service.web.problems import problem_of
from service.web.request_id import give_id
from service.web.settings import HttpSettings

LIMITS = "poolkeeper.limits"
"""Where a protocol finds the `http` settings, in the state of the application."""

_LINGER = 2.0
"""Seconds between a refusal and the end of its connection. Closing at once, with bytes unread, would be a reset: the client
would lose the answer that says why."""
_LONGEST_PATH = 200
_URL = re.compile(rb"https?://([^/?#@]+)((?:[/?][^#]*)?)(?:#.*)?", re.IGNORECASE)


class Refused(Exception):
    """What a client sent is refused before the application sees it: `status`, and a detail for people."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def check_head(limits: HttpSettings, target: bytes, headers: list[RawHeader]) -> None:
    """Raises `Refused` for a URL that is too long, and for too many or too large headers."""
    if len(target) > limits.max_url_bytes:
        raise Refused(414, f"URL: longer than the {limits.max_url_bytes} bytes allowed")
    if len(headers) > limits.max_headers:
        raise Refused(431, f"headers: more than the {limits.max_headers} allowed")
    if len(target) + sum(len(name) + len(value) + 4 for name, value in headers) > limits.max_head_bytes:
        raise too_large_head(limits)


def too_large_head(limits: HttpSettings) -> Refused:
    """The error for headers that are too large together."""
    return Refused(431, f"headers: larger than the {limits.max_head_bytes} bytes allowed")


def no_proxy() -> Refused:
    """The error for CONNECT. What follows it may be anything, and must not be read."""
    return Refused(400, "CONNECT: the service is no proxy")


def origin_form(target: bytes, headers: list[RawHeader]) -> bytes:
    """The path and query of a request's target. A whole URL, as sent to a proxy, names the host: `Host` then says the same.

    RFC 9112 (3.2.2) has each server read such a target, and prefer its host. Raises `Refused` for what is neither.
    """
    if target.startswith(b"/") or target == b"*":
        return target
    found = _URL.fullmatch(target)
    if found is None:
        raise Refused(400, "request: the target is neither a path nor a URL of HTTP")
    headers[:] = [(name, found[1] if name == b"host" else value) for name, value in headers]
    return found[2] if found[2].startswith(b"/") else b"/" + found[2]


def opens_websocket(method: str, http_version: str, headers: Iterable[RawHeader]) -> bool:
    """Whether a request with `Upgrade` opens a websocket. If not, the header is ignored, as RFC 9110 (7.8) allows.

    A request with a body does not: the body would be lost. Nor does one whose `Connection` does not name `Upgrade`: a proxy
    has passed the header on. The websocket's own protocol checks the other headers.
    """
    upgrades = []
    options: set[bytes] = set()
    for name, value in headers:
        if name == b"upgrade":
            upgrades.append(value.lower())
        elif name == b"connection":
            options.update(option.strip() for option in value.lower().split(b","))
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return False
    return method == "GET" and http_version == "1.1" and upgrades == [b"websocket"] and b"upgrade" in options


class Guarded:
    """A base of uvicorn's protocols. It refuses with a problem, in the order of requests, and bounds the wait for a head."""

    __slots__ = ("_ended", "_head_timer", "_limits", "_refusal")

    app_state: dict[str, Any]
    cycle: Any
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    scope: Any
    server_state: ServerState
    transport: asyncio.Transport

    def _begin_guard(self) -> None:
        """To be called at the end of `__init__`."""
        self._limits: HttpSettings = self.app_state.get(LIMITS) or HttpSettings()
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal: bytes | None = None
        self._ended = False
        """Whether nothing more is read: refused, or handed over to a websocket."""

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _begins_head(self) -> bool:
        """Whether a part of a head was read, and not all of it."""
        raise NotImplementedError

    def _expects_body(self) -> bool:
        """Whether the rest of a body is to come whose request was answered without it."""
        raise NotImplementedError

    def _wait_idle(self: Any) -> None:
        """Close the connection after `keep_alive_seconds` without a request, as uvicorn does after an answer."""
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _wait(self) -> None:
        """Bound the wait for what comes next, after something was read and no request is being answered."""
        if self._ended:
            return
        if not self._begins_head() and not self._expects_body():
            self._wait_idle()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._end_wait)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_wait(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._begins_head():
            self._refuse(Refused(408, f"headers: did not arrive within {self._limits.head_seconds:g} seconds"))
        else:
            self.transport.close()

    def _refuse(self, error: Refused, target: bytes = b"", headers: Iterable[RawHeader] = ()) -> None:
        """Read no more, answer the requests that came before, then this one with the error, and close the connection."""
        self._ended = True
        self._stop_waiting()
        self._refusal = self._answer_to(error, target, headers)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._send_refusal()
        elif cycle.scope is self.scope:  # what cannot be read is this request's own body
            self._refuse_body(cycle)

    def _refuse_body(self, cycle: Any) -> None:
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self.transport.abort()
        else:
            self._send_refusal()

    def _send_refusal(self) -> None:
        if self._refusal is None or self.transport.is_closing():
            return
        self.transport.write(self._refusal)
        self._refusal = None
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.abort)

    def _answer_to(self, error: Refused, target: bytes, headers: Iterable[RawHeader]) -> bytes:
        path = target.partition(b"?")[0][:_LONGEST_PATH].decode("latin-1")
        scope = {"type": "http", "path": path if path.startswith("/") else "/", "headers": list(headers)}
        own = (b"x-request-id", give_id(scope).encode())
        response = problem_of(scope, HTTPException(error.status, str(error), {"Connection": "close"}))
        lines = (*self.server_state.default_headers, *response.raw_headers, *SECURITY_HEADERS, own)
        head = b"".join(b"%b: %b\r\n" % line for line in lines)
        return b"".join((STATUS_LINE[error.status], head, b"\r\n", response.body))
