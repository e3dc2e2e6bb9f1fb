"""Code outside a plain `async def` endpoint."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import websockets
from fastapi import BackgroundTasks, WebSocket

from benchmarks.traps.scenarios.connections import BACKEND
from benchmarks.traps.scenarios.lifetimes import until
from benchmarks.traps.scenarios.transactions import TRANSACTION
from benchmarks.traps.stage import Broke, Stage, described, ended, route


async def without_request(stage: Stage) -> None:
    """Use without any request: in a script, a job, a test."""

    async def work(db: Any, _: Any) -> bool:
        async with stage.pattern.transaction(db) as unit:
            here = await stage.pattern.value(unit, TRANSACTION)
            together: bool = here == await stage.pattern.deeper(unit, TRANSACTION)
            return together

    together = await stage.in_time(ended(stage.pattern.script(stage.dsn, 2, work)), "the script is stuck")
    if isinstance(together, Exception):
        raise Broke(described(together))
    if not together:
        raise Broke("two transactions")


async def in_a_thread(stage: Stage) -> None:
    """A `def` endpoint in the threadpool."""

    async def work(db: Any, _: Any) -> list[str]:
        async with stage.pattern.transaction(db) as unit:
            here = await stage.pattern.value(unit, TRANSACTION)
            return [here, await stage.pattern.deeper(unit, TRANSACTION)]

    async with stage.serve(4):
        for here, deeper in await stage.ask_all(work, 10, "thread"):
            if here != deeper:
                raise Broke("two transactions")


async def in_a_websocket(stage: Stage) -> None:
    """A websocket uses the database for each message, and holds no connection while idle."""

    async def echo(db: Any, websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            async with stage.pattern.transaction(db) as unit:
                await websocket.send_text(str(await stage.pattern.deeper(unit, f"SELECT {int(text)}")))

    async def talk() -> None:
        async with websockets.connect(f"ws://{urlsplit(stage.url).netloc}{route(echo, 'socket')}") as client:
            await client.send("1")
            first = await stage.in_time(client.recv(decode=True), "no first message")
            await stage.others_are_served("a websocket is idle")
            await client.send("2")
            second = await stage.in_time(client.recv(decode=True), "no second message")
            if (first, second) != ("1", "2"):
                raise Broke(f"the answers are {first} and {second}")

    async with stage.serve(1):
        try:
            await talk()
        except websockets.WebSocketException as error:
            raise stage.broke(f"{type(error).__name__}") from None


async def pipelined(stage: Stage) -> None:
    """Two requests pipelined on one HTTP connection do not see each other's scope."""
    holding, finished = asyncio.Event(), asyncio.Event()
    backends: dict[str, int | Exception] = {}

    async def first(db: Any, tasks: BackgroundTasks) -> str:
        async def keep() -> int:
            async with stage.pattern.transaction(db) as unit:
                backend: int = await stage.pattern.deeper(unit, BACKEND)
                holding.set()
                await asyncio.wait_for(finished.wait(), stage.patience)
                return backend

        async def background() -> None:
            backends["first"] = await ended(keep())
            holding.set()

        tasks.add_task(background)
        return "answered"

    async def second(db: Any, _: Any) -> int:
        await holding.wait()
        async with stage.pattern.transaction(db) as unit:
            backend: int = await stage.pattern.deeper(unit, BACKEND)
            return backend

    async def send() -> None:
        address = urlsplit(stage.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for work, last in ((first, "keep-alive"), (second, "close")):
            writer.write(f"GET {route(work)} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: {last}\r\n\r\n".encode())
        answers = (await reader.read()).decode()
        writer.close()
        if answers.count("200 OK") != 2:  # noqa: PLR2004 - both
            raise stage.broke(f"{answers.count('200 OK')} of 2 are answered")
        backends["second"] = int(answers.split()[-1])

    async with stage.serve(2):
        try:
            await stage.in_time(send(), "no answer")
        finally:
            finished.set()
        await until(lambda: "first" in backends, 1)
        if backends["first"] == backends["second"]:
            raise Broke("both have one connection")
