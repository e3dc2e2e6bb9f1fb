"""A script: it opens and closes the pool, and saves two items together or not at all.

python examples/script.py linus@example.com
"""

import asyncio
import sys

from containers import Container
from service.items.schemas import NewItem
from service.startup import container_scope
from service.users.schemas import NewUser


async def main(email: str) -> None:
    async with container_scope(Container(), "register") as container:
        user = await container.user_service().register(NewUser(email=email, password="correct horse"))
        async with container.connection().transaction():
            for title in ("A pen", "A notebook"):
                await container.item_service().create(user.id, NewItem(title=title))
        saved = await container.user_service().get(user.id)
        print(f"{saved.email} has {', '.join(item.title for item in saved.items)}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
