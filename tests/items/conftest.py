"""A user for the tests of items."""

import pytest
from httpx import AsyncClient


@pytest.fixture
async def user_id(client: AsyncClient) -> int:
    """The id of a user who owns no items."""
    answer = await client.post("/users/", json={"email": "ada@example.com", "password": "correct horse"})
    user_id: int = answer.json()["id"]
    return user_id
