"""PostgreSQL at a port that speaks TLS: the embedded server is built without, so Python ends the TLS in front of its socket."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = quote(str(CERTIFICATES / "ca.crt"))
"""The path of the certificate authority, as a DSN has it."""
_TLS_PLEASE = bytes.fromhex("00000008 04d2162f")


class _Front:
    """Takes connections at a port of 127.0.0.1, in an event loop of its own, until it is stopped."""

    def __init__(self, socket: str, certificate: str | None) -> None:
        self._socket = socket
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATES / f"{certificate}.crt", CERTIFICATES / "test.key")
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """The port that it listens at."""
        self._server = await asyncio.start_server(self._serve, "0.0.0.0", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """End all connections."""
        assert self._server
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def run(self) -> None:
        """The thread's work."""
        self._loop.run_forever()
        self._loop.close()

    def call(self, name: str) -> int | None:
        """Run `start` or `stop` in the front's own loop."""
        result: int | None = asyncio.run_coroutine_threadsafe(getattr(self, name)(), self._loop).result(20)
        return result

    def end(self) -> None:
        """Leave the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._pumps.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._pass_on(reader, writer)
        finally:
            self._pumps.discard(task)
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(8)
        if self._context is not None and first == _TLS_PLEASE:
            writer.write(b"S")
            await writer.start_tls(self._context)
            first = b""
        from_server, to_server = await asyncio.open_unix_connection(self._socket)
        to_server.write(first)
        pumps = {asyncio.ensure_future(_pump(reader, to_server)), asyncio.ensure_future(_pump(from_server, writer))}
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            to_server.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while part := await source.read(65_536):
        sink.write(part)
        await sink.drain()


@contextmanager
def at_a_port(dsn: str, certificate: str | None) -> Iterator[int]:
    """The server of a DSN over a socket, at a port of this machine; without a certificate it refuses TLS."""
    front = _Front(f"{dsn.partition('?host=')[2]}/.s.PGSQL.5432", certificate)
    thread = threading.Thread(target=front.run)
    thread.start()
    try:
        port = front.call("start")
        assert port
        try:
            yield port
        finally:
            front.call("stop")
    finally:
        front.end()
        thread.join()
