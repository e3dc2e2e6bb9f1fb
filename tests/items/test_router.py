"""Items over HTTP."""

import json

import pytest
from httpx import AsyncClient


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


async def test_an_item_is_read_changed_and_deleted(client: AsyncClient, user_id: int) -> None:
    """What is left out stays, and a null description is none."""
    item = (await client.post(f"/users/{user_id}/items/", json={"title": "A pen", "description": "Blue"})).json()
    path = f"/items/{item['id']}"
    assert (await client.get(path)).json() == item
    assert (await client.patch(path, json={})).json() == item
    assert (await client.patch(path, json={"title": "Two pens"})).json() == {**item, "title": "Two pens"}
    cleared = await client.patch(path, json={"description": None})
    assert cleared.json() == {**item, "title": "Two pens", "description": None}
    assert (await client.delete(path)).status_code == 204
    for answer in (await client.get(path), await client.patch(path, json={}), await client.delete(path)):
        assert (answer.status_code, answer.json()["detail"]) == (404, "Item not found")


async def test_the_items_of_a_user_are_a_list_of_their_own(client: AsyncClient, user_id: int) -> None:
    """By key as well; somebody without items has an empty one, and nobody has none."""
    other = (await client.post("/users/", json={"email": "bob@example.com", "password": "correct horse"})).json()["id"]
    for title in "abc":
        await client.post(f"/users/{user_id}/items/", json={"title": title})
    path = f"/users/{user_id}/items/"
    first = await client.get(f"{path}?limit=2")
    assert [item["title"] for item in first.json()] == ["a", "b"]
    second = await client.get(first.links["next"]["url"])
    assert ([item["title"] for item in second.json()], second.links) == (["c"], {})
    assert (await client.get(f"/users/{other}/items/")).json() == []
    unknown = await client.get("/users/1000000/items/")
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "User not found")


async def test_pages_of_items_follow_one_another_by_key(client: AsyncClient, user_id: int) -> None:
    """To each item once, also while others are deleted in between."""
    ids = [(await client.post(f"/users/{user_id}/items/", json={"title": str(n)})).json()["id"] for n in range(5)]
    first = await client.get("/items/?limit=2")
    await client.delete(f"/items/{ids[0]}")
    second = await client.get(first.links["next"]["url"])
    assert [item["id"] for item in first.json() + second.json()] == ids[:4]
