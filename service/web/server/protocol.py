"""uvicorn's protocol, with bodies that are never read as requests, bounded headers, and requests read in batches.

`poolkeeper serve` names it, and plain `uvicorn service.main:app` gets it when the application starts.
"""

import asyncio
from contextvars import Context, copy_context
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.web.server.admission import ADMISSION, Admission
from service.web.server.guard import (
    LIMITS,
    Guarded,
    Refused,
    check_head,
    no_proxy,
    opens_websocket,
    origin_form,
    too_large_head,
)
from service.web.server.protocol_h11 import GuardedH11Protocol
from service.web.settings import HttpSettings

_SLASH = ord("/")
_KEEP_ALIVE_OF_UVICORN = 5
"""Seconds: uvicorn's default. Any other value of `--timeout-keep-alive` is somebody's choice."""


def prepare_server(scope: Scope, limits: HttpSettings) -> None:
    """Give the server the `http` settings, in its `lifespan`, so before its first connection.

    uvicorn's own protocols are replaced by those of the service, and its default for idle connections by the setting. What
    somebody chose on uvicorn's command line stays, and so does another server.
    """
    scope.get("state", {})[LIMITS] = limits
    config = _config_of_uvicorn()
    if config is None:
        return
    if config.http_protocol_class is HttpToolsProtocol:
        config.http_protocol_class = BatchedProtocol
    elif config.http_protocol_class is H11Protocol:
        config.http_protocol_class = GuardedH11Protocol
    if config.timeout_keep_alive == _KEEP_ALIVE_OF_UVICORN:
        config.timeout_keep_alive = limits.keep_alive_seconds


def _config_of_uvicorn() -> Config | None:
    """What uvicorn is configured with, in whatever thread it runs: its lifespan is a method that runs as a task of its own."""
    task = asyncio.current_task()
    frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    lifespan = None if frame is None else frame.f_locals.get("self")
    return lifespan.config if isinstance(lifespan, LifespanOn) else None


class BatchedProtocol(HttpToolsProtocol, Guarded):
    """One connection of a client. Requests are kept back only where the application has an `Admission`.

    The parser of uvicorn stops at `Upgrade` without reading the body, and then reads that as a request (uvicorn #2722). Here
    only what opens a websocket is upgraded. Any other request is parsed again without the header.
    """

    # uvicorn's attributes are as many as Python keeps in one place for all objects
    __slots__ = ("_admission", "_is_split", "_kept", "_max_head_bytes", "_max_headers", "_max_url_bytes", "_overhead")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._begin_guard()
        self._max_head_bytes = self._limits.max_head_bytes
        self._max_headers = self._limits.max_headers
        self._max_url_bytes = self._limits.max_url_bytes
        self._admission: Admission | None = self.app_state.get(ADMISSION)
        self._kept: list[tuple[Context, bytes]] = []
        """What the client has sent and nobody has read, and the context to read it in: the connection's, and nobody else's."""
        self._overhead = 0
        """Bytes read since the last head or part of a body: of a head, of trailers, or of a chunk's extension."""
        self._is_split = False
        """Whether the next head may have begun in an earlier read, so that `_overhead` lacks its beginning."""

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request no longer than for the next one."""
        super().connection_made(transport)
        self._wait_idle()

    def data_received(self, data: bytes) -> None:
        """Read what the client sends, or keep it. The rest of a request whose beginning was read is never kept."""
        if self._ended:
            return
        admission = self._admission
        if admission is None or not (self._kept or (not admission.is_open() and self._is_between_requests())):
            self.read(data)
            return
        self._unset_keepalive_if_required()
        if self._kept or len(data) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self._kept.append((copy_context(), data))
        admission.keep(self._read_kept)

    def read(self, data: bytes) -> None:
        """Parse what the client has sent."""
        self._unset_keepalive_if_required()
        self._overhead += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as stopped:
            self._go_on(memoryview(data)[stopped.args[0] :])
        except HttpParserError as error:
            self._refuse_unreadable(error)
        cycle: Any = self.cycle  # uvicorn's type forgets `None`
        if cycle is None or cycle.response_complete or cycle.scope is not self.scope or self._overhead:
            self._expect_rest()

    def _go_on(self, rest: memoryview) -> None:
        """Go on after an `Upgrade`, and after each that follows in the same read."""
        while True:
            if self.scope["method"] == "CONNECT":
                self._refuse(no_proxy(), self.url, self.headers)
                return
            if self._opens_websocket():
                self.handle_websocket_upgrade()
                self._ended = True
                return
            try:
                self._begin_again()
                if rest:
                    self.parser.feed_data(rest)
            except HttpParserUpgrade as stopped:
                rest = rest[stopped.args[0] :]
            except HttpParserError as error:
                self._refuse_unreadable(error)
                return
            else:
                return

    def _refuse_unreadable(self, error: HttpParserError) -> None:
        cause = error.__context__
        if not isinstance(cause, Refused):
            cause = Refused(400, f"request: cannot be read as HTTP: {error}")
        self._refuse(cause, self.url, self.headers)

    def _expect_rest(self) -> None:
        """Bound what is still to come of a head, of a trailer, or of a body that nobody reads."""
        if self._ended:
            return
        self._is_split = True
        if self._overhead > self._max_head_bytes:
            self._refuse(too_large_head(self._limits))
        elif self._is_between_requests():
            self._wait()

    def _begin_again(self) -> None:
        """Parse the head again, without its `Upgrade`. A parser that has stopped may read nothing more."""
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(self._head_without_upgrade())

    def _should_upgrade(self) -> bool:
        """Asked by uvicorn only where the parser stops. Nothing is begun then before it is known how to go on."""
        return True

    def _opens_websocket(self) -> bool:
        opens = opens_websocket(self.scope["method"], self.scope["http_version"], self.headers)
        return opens and self._should_upgrade_to_ws()

    def _head_without_upgrade(self) -> bytes:
        line = b"%b %b HTTP/%b\r\n" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"%b%b\r\n" % (line, b"".join(headers))

    def on_headers_complete(self) -> None:
        """Begin a request whose head is within the limits."""
        if (
            self._is_split
            or not 0 < self._overhead <= self._max_head_bytes  # none: it is behind another head, in the same read
            or len(self.headers) > self._max_headers
            or len(self.url) > self._max_url_bytes
        ):
            check_head(self._limits, self.url, self.headers)
            self._is_split = False
            self._stop_waiting()
        self._overhead = 0
        if self.expect_100_continue and self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # such a client takes the 100 for its answer
        if self.url[0] != _SLASH and self.parser.get_method() != b"CONNECT":
            self.url = origin_form(self.url, self.headers)
        HttpToolsProtocol.on_headers_complete(self)

    def on_chunk_header(self) -> None:
        """Put the headers that follow, in the trailer, apart from the request's own: none of them is one."""
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._overhead = 0
        self._is_split = True  # the next head may begin in this read
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        """Note the end of a body, also of one that nobody reads because its request was answered without it."""
        if self.parser.should_upgrade():
            return
        cycle = self.cycle
        cycle.more_body = False
        if not cycle.response_complete:
            cycle.message_event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers also where the client has reset the connection, all of which they would hold for seconds."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_waiting()

    def on_response_complete(self) -> None:
        """Send the refusal that waited for this response, if no other response is due before it."""
        was_last = not self.pipeline
        HttpToolsProtocol.on_response_complete(self)
        if was_last and self._refusal is not None:
            self._send_refusal()

    def shutdown(self) -> None:
        """Uvicorn's way to tell a connection that the server ends. What was sent before that is answered."""
        while self._kept:
            self._read_kept()
        super().shutdown()

    def _refuse_body(self, cycle: Any) -> None:
        for place, (waiting, _) in enumerate(self.pipeline):
            if waiting is cycle:  # others are answered first
                del self.pipeline[place]
                return
        super()._refuse_body(cycle)

    def _begins_head(self) -> bool:
        cycle: Any = self.cycle
        scope: Any = self.scope
        return scope is not None and (cycle is None or cycle.scope is not scope)

    def _expects_body(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and cycle.more_body

    def _read_kept(self) -> None:
        """Read the next of what was kept, if it is there still and the client too."""
        if not self._kept:
            return
        context, data = self._kept.pop(0)
        if self.transport.is_closing() or self._ended:
            return
        if not self._kept:
            self.flow.resume_reading()
        try:
            context.run(self.read, data)
        except Exception as error:  # noqa: BLE001 - as the event loop does with a protocol that fails
            self.transport.abort()
            self.loop.call_exception_handler({"message": "what was sent could not be read", "exception": error})
