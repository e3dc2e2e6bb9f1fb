"""A Tornado application with class-based handlers, on the same container and services.

python examples/tornado_app.py 8888
"""

import asyncio
import signal
import sys
from dataclasses import asdict
from typing import Any

from tornado.web import Application, HTTPError, RequestHandler

from containers import Container
from service.injection import Provide, inject
from service.startup import opened
from service.users.errors import UserNotFound
from service.users.service import UserService


class ScopedHandler(RequestHandler):
    """Opens a scope for each request. Tornado runs `prepare`, the method and `on_finish` here, in one task.

    `on_finish` cannot close the scope: it is not awaited, and runs before a method that continues after `finish()` ends.
    """

    async def _execute(self, *args: Any, **path: Any) -> None:
        async with self.settings["database"].scope(f"{self.request.method} {self.request.path}"):
            await super()._execute(*args, **path)


class UserHandler(ScopedHandler):
    @inject
    async def get(self, user_id: str, users: UserService = Provide["user_service"]) -> None:
        try:
            self.write(asdict(await users.get(int(user_id))))
        except UserNotFound as error:
            raise HTTPError(404, reason=str(error)) from error


async def main(port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with opened(Container()) as container:  # no scope here, as the handlers' tasks would inherit it
        container.wire(modules=[__name__])
        app = Application([(r"/users/(\d{1,18})", UserHandler)], database=container.database())
        server = app.listen(port, "127.0.0.1")
        await stop.wait()
        server.stop()
        await server.close_all_connections()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
