"""dependency-injector's `ContextLocalResource` with `Closing`: as `resource_closing`, with another kind of resource."""

from typing import Any

from dependency_injector import providers
from fastapi import FastAPI

from benchmarks.traps.pattern import Work
from benchmarks.traps.patterns import resource_closing
from benchmarks.traps.patterns.resource_closing import DEEPER, FORM, PACKAGES, deeper, independent, transaction, value

__all__ = ["CANNOT", "DEEPER", "FORM", "PACKAGES", "TITLE", "create_app", "deeper", "independent", "script"]
__all__ += ["transaction", "value"]

TITLE = "dependency-injector `ContextLocalResource` + `Closing`"
CANNOT = {"survives_rollback": "the connection is one object in a context: there is no second one to ask for"}


class Container(resource_closing.Container):
    connection = providers.ContextLocalResource(resource_closing.open_connection, resource_closing.Container.pool)


def create_app(dsn: str, size: int) -> FastAPI:
    return resource_closing.create_app(dsn, size, Container)


async def script(dsn: str, size: int, work: Work) -> Any:
    return await resource_closing.script(dsn, size, work, Container)
