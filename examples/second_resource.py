"""A second resource, an HTTP client that the container opens and closes, injected at any depth.

python examples/second_resource.py 1 http://127.0.0.1:8000/openapi.json
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from dependency_injector import providers
from httpx import AsyncClient

from containers import Container
from service.injection import Provide, inject
from service.items.schemas import Item, NewItem
from service.items.service import ItemService
from service.startup import container_scope


async def open_http(client: AsyncClient) -> AsyncIterator[AsyncClient]:
    async with client:
        yield client


class ContainerWithHttp(Container):
    """`http` is built without I/O, as `database` is, and no provider depends on the resource that opens it."""

    http = providers.Singleton(AsyncClient, timeout=5)
    http_lifetime = providers.Resource(open_http, http)


@inject
async def bookmark(owner_id: int, url: str, items: ItemService = Provide["item_service"]) -> Item:
    size = await count_bytes(url)  # holds no database connection
    return await items.create(owner_id, NewItem(title=url, description=f"{size} bytes"))


@inject
async def count_bytes(url: str, http: AsyncClient = Provide["http"]) -> int:
    return len((await http.get(url)).raise_for_status().content)


async def main(owner_id: int, url: str) -> None:
    async with container_scope(ContainerWithHttp(), "bookmark") as container:
        container.wire(modules=[__name__])
        print(await bookmark(owner_id, url))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
