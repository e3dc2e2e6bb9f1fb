"""A command that copies 100,000 rows into a table, all of them or nothing, with a progress bar and few rows in memory.

python examples/job.py --rows 100000
"""

import asyncio
from typing import Annotated

import typer
from rich.progress import track

from containers import Container
from service.startup import container_scope
from service.users.schemas import NewUser


async def copy(email: str, rows: int) -> None:
    async with container_scope(Container(), "copy items") as container:
        connection = container.connection()
        async with connection.transaction():  # if the copy fails, the user is not stored either
            owner = await container.user_service().register(NewUser(email=email, password="correct horse"))
            records = ((f"Item {number}", owner.id) for number in track(range(1, rows + 1), "Copying"))
            await connection.execute("SET LOCAL statement_timeout = 0")  # the limits of the settings are for requests
            status = await connection.copy_records_to_table(
                "items", records=records, columns=["title", "owner_id"], timeout=3600
            )
        print(f"{status} for {owner.email}")


def main(
    email: Annotated[str, typer.Option(help="E-mail address of the new owner.")] = "grace@example.com",
    rows: Annotated[int, typer.Option(help="Number of items to copy.", min=1)] = 100_000,
) -> None:
    """Copy items into the database."""
    asyncio.run(copy(email, rows))


if __name__ == "__main__":
    typer.run(main)
