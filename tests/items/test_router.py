"""Items over HTTP."""

import json

import pytest
from httpx import AsyncClient


@pytest.fixture
async def user_id(client: AsyncClient) -> int:
    """The id of a user who owns nothing yet."""
    answer = await client.post("/users/", json={"email": "ada@example.com", "password": "correct horse"})
    user_id: int = answer.json()["id"]
    return user_id


async def test_an_item_belongs_to_its_user(client: AsyncClient, user_id: int) -> None:
    """A created item is a 201, and is found in the list and with its user."""
    created = await client.post(f"/users/{user_id}/items/", json={"title": "A pen", "description": "Blue"})
    assert created.status_code == 201
    item = created.json()
    assert item == {"id": item["id"], "title": "A pen", "description": "Blue", "owner_id": user_id}
    assert (await client.get("/items/")).json() == [item]
    assert (await client.get(f"/users/{user_id}")).json()["items"] == [item]


async def test_a_description_can_be_left_out(client: AsyncClient, user_id: int) -> None:
    """It is null then."""
    created = await client.post(f"/users/{user_id}/items/", json={"title": "A pen"})
    assert (created.status_code, created.json()["description"]) == (201, None)


async def test_an_item_for_nobody_is_a_404(client: AsyncClient) -> None:
    """An unknown owner is a 404 that says so, and nothing is stored."""
    answer = await client.post("/users/1000000/items/", json={"title": "A pen"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "User not found")
    assert (await client.get("/items/")).json() == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.title"),
        ({"title": ""}, "body.title"),
        ({"title": "a" * 201}, "body.title"),
        ({"title": "a\x00"}, "body.title"),
        ({"title": "\udfff"}, "body.title"),
        ({"title": 7}, "body.title"),
        ({"title": "a", "description": "a" * 10_001}, "body.description"),
        ({"title": "a", "description": "\x00"}, "body.description"),
        ({"title": "a", "price": 1}, "body.price"),
    ],
)
async def test_bad_input_is_a_422_that_names_the_field(
    client: AsyncClient, user_id: int, body: dict[str, object], field: str
) -> None:
    """Nothing is stored, and the answer says what is wrong where."""
    headers = {"content-type": "application/json"}
    answer = await client.post(f"/users/{user_id}/items/", content=json.dumps(body), headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert (await client.get("/items/")).json() == []


async def test_skip_and_limit_give_a_page(client: AsyncClient, user_id: int) -> None:
    """Pages come in the order of creation."""
    for title in "abc":
        await client.post(f"/users/{user_id}/items/", json={"title": title})
    page = await client.get("/items/?skip=1&limit=1")
    assert [item["title"] for item in page.json()] == ["b"]
