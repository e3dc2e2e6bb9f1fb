"""uvicorn's protocol, with requests read in batches: `uvicorn service.main:app --http service.server:BatchedProtocol`."""

from contextvars import Context, copy_context
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.admission import ADMISSION, Admission

_CROWD = 128
"""Of more connections than that, each is left alone for so long that what it holds leaves a processor's second-level cache."""


class BatchedProtocol(HttpToolsProtocol):
    """One connection of a client. Where the application has no `Admission`, it is uvicorn's own protocol."""

    __slots__ = ("_admission", "_kept")  # uvicorn's attributes are as many as Python keeps in one place for all objects

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._admission: Admission | None = self.app_state.get(ADMISSION)
        self._kept: list[tuple[Context, bytes]] = []
        """What the client has sent and nobody has read, and the context to read it in: the connection's, and nobody else's."""

    def data_received(self, data: bytes) -> None:
        """Read what the client sends, or keep it. The rest of a request whose beginning was read is never kept."""
        admission = self._admission
        if admission is None or not (self._kept or (not admission.is_open() and self._is_between_requests())):
            HttpToolsProtocol.data_received(self, data)
            return
        self._unset_keepalive_if_required()
        if self._kept or len(data) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self._kept.append((copy_context(), data))
        admission.keep(self._read)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the keep-alive timer also where the client has reset the connection, all of which it would hold for seconds."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def on_response_complete(self) -> None:
        """Let go of the request, in a crowd: uvicorn keeps 3 KB of it until the next one comes, out of the cache."""
        HttpToolsProtocol.on_response_complete(self)
        if len(self.connections) > _CROWD and self._admission is not None:
            cycle = self.cycle
            if cycle is not None and cycle.response_complete and not cycle.more_body:  # type: ignore[redundant-expr]
                self.cycle = self.scope = self.headers = None  # type: ignore[assignment]  # as in a new connection

    def shutdown(self) -> None:
        """Uvicorn's way to tell a connection that the server ends. What was sent before that is answered."""
        while self._kept:
            self._read()
        super().shutdown()

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # uvicorn's type forgets `None`

    def _read(self) -> None:
        """Read the next of what was kept, if it is there still and the client too."""
        if not self._kept:
            return
        context, data = self._kept.pop(0)
        if self.transport.is_closing():
            return
        if not self._kept:
            self.flow.resume_reading()
        try:
            context.run(super().data_received, data)
        except Exception as error:  # noqa: BLE001 - as the event loop does with a protocol that fails
            self.transport.abort()
            self.loop.call_exception_handler({"message": "what was sent could not be read", "exception": error})
