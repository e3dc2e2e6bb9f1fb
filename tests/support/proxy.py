"""A network between the service and PostgreSQL that can be frozen and cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import Path


class CutCommit(Enum):
    """When the connection is lost, seen from a COMMIT."""

    BEFORE = "before the server has it"
    AFTER = "after the server did it"


class Proxy:
    """Listens on 127.0.0.1 and passes bytes to a server's socket and back."""

    def __init__(self, socket: Path) -> None:
        self.cut_commits: CutCommit | None = None
        """Whether the connections on which a COMMIT comes by are cut, and when."""
        self._socket = socket
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0
        """Where it listens, from the first time on."""

    @property
    def dsn(self) -> str:
        """Through this proxy."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    async def listen(self) -> None:
        """Take connections, at the same port each time."""
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        """Pass no more bytes, and say nothing."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Pass bytes again, those that were held up as well."""
        self._flowing.set()

    async def cut(self) -> None:
        """End all connections, and refuse new ones until `listen`."""
        assert self._listener is not None
        self._listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._listener.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._pass(reader, writer), name="proxy")
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _pass(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        to_server = None
        try:
            await self._flowing.wait()
            server, to_server = await asyncio.open_unix_connection(str(self._socket))
            link = _Link()
            ways = {
                asyncio.ensure_future(self._forth(link, client, to_server)),
                asyncio.ensure_future(self._back(link, server, to_client)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # no server there: the client's connection ends
        finally:
            for writer in (to_client, to_server):
                if writer is not None:
                    writer.transport.abort()

    async def _forth(self, link: "_Link", client: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await client.read(65536):
                if b"COMMIT\0" in data and self.cut_commits is CutCommit.BEFORE:
                    return
                link.ends_with_the_answer = b"COMMIT\0" in data and self.cut_commits is CutCommit.AFTER
                await self._flowing.wait()
                to_server.write(data)
                await to_server.drain()

    async def _back(self, link: "_Link", server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await server.read(65536):
                if link.ends_with_the_answer:
                    return
                await self._flowing.wait()
                to_client.write(data)
                await to_client.drain()


class _Link:
    """One connection's state."""

    ends_with_the_answer = False


@asynccontextmanager
async def proxied(socket: Path) -> AsyncIterator[Proxy]:
    """A proxy that listens, and is gone at the end."""
    proxy = Proxy(socket)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.thaw()
        await proxy.cut()
