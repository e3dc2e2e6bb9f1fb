"""A network that delays bytes to a server's socket and back: `python -m benchmarks.harness.delay SOCKET SECONDS`."""

import asyncio
import selectors
import sys
from collections import deque
from contextlib import suppress


async def serve(socket: str, seconds: float) -> None:
    """Listen on 127.0.0.1, print the port, and serve until the process is stopped."""

    async def connected(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(socket)
        await asyncio.gather(_pass(client, to_server, seconds), _pass(server, to_client, seconds))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    under_way: deque[bytes] = deque()
    with suppress(ConnectionError):
        while data := await source.read(65536):
            under_way.append(data)
            loop.call_later(seconds, lambda: sink.write(under_way.popleft()))
    loop.call_later(seconds, sink.close)


if __name__ == "__main__":
    # epoll has a resolution of a millisecond and would round the delay up; select does not
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(sys.argv[1], float(sys.argv[2])))
