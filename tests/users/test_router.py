"""Users over HTTP."""

import asyncio

import pytest
from httpx import AsyncClient

from containers import Container
from service.auth.passwords import PasswordHasher
from service.auth.settings import PasswordSettings

ADA = {"email": "ada@example.com", "password": "correct horse"}


async def test_a_registered_user_can_be_read(client: AsyncClient) -> None:
    """Registration is a 201 with the user, who is then found by id and in the list."""
    created = await client.post("/users/", json=ADA)
    assert created.status_code == 201
    user = created.json()
    assert user == {"id": user["id"], "email": "ada@example.com", "is_active": True, "items": []}
    assert (await client.get(f"/users/{user['id']}")).json() == user
    assert (await client.get("/users/")).json() == [user]


@pytest.mark.parametrize("again", ["ada@example.com", "ADA@example.com", "Ada@EXAMPLE.com"])
async def test_an_address_registers_once_in_whatever_case(client: AsyncClient, again: str) -> None:
    """A second registration with one e-mail is a 400, and leaves one row."""
    await client.post("/users/", json=ADA)
    refused = await client.post("/users/", json={**ADA, "email": again})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"] == "Email already registered"
    assert len((await client.get("/users/")).json()) == 1


async def test_ten_registrations_at_once_leave_one_row(cloned_client: AsyncClient) -> None:
    """Ten POSTs with one address at once: one 201, nine 400, one row."""
    answers = await asyncio.gather(*(cloned_client.post("/users/", json=ADA) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 9
    assert len((await cloned_client.get("/users/")).json()) == 1


async def test_an_unknown_user_is_a_404(client: AsyncClient) -> None:
    """An id that nobody has is a 404 that says so."""
    answer = await client.get("/users/1000000")
    assert (answer.status_code, answer.json()["detail"]) == (404, "User not found")


@pytest.mark.parametrize("user_id", [0, -1, 2**63, 10**40, "x", "1.5"])
async def test_an_id_outside_bigint_is_a_422_that_names_it(client: AsyncClient, user_id: object) -> None:
    """What cannot be an id is refused by name, before it reaches the database."""
    answer = await client.get(f"/users/{user_id}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "path.user_id"


@pytest.mark.parametrize(
    ("path", "method"), [("/users/me", "PATCH"), ("/users/me", "DELETE"), ("/items/export", "PATCH")]
)
async def test_a_name_where_an_id_would_stand_has_its_own_methods(client: AsyncClient, path: str, method: str) -> None:
    """What can be done to a user or an item by its id is a 405 there, and `Allow` does not offer it."""
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "not an address"}, "body.email"),
        ({"email": "a\x00@example.com"}, "body.email"),
        ({"email": "Ada <ada@example.com>"}, "body.email"),
        ({"email": "\ud800@example.com"}, "body.email"),
        ({"email": f"{'a' * 300}@example.com"}, "body.email"),
        ({"password": ""}, "body.password"),
        ({"password": "a" * 1025}, "body.password"),
        ({"password": "a\x00"}, "body.password"),
        ({"password": "\ud800"}, "body.password"),
        ({"password": None}, "body.password"),
        ({"nickname": "ada"}, "body.nickname"),
    ],
)
async def test_bad_input_is_a_422_that_names_the_field(
    client: AsyncClient, change: dict[str, object], field: str
) -> None:
    """Whatever is wrong with a field, the answer is a 422 with its name, and nobody is registered."""
    answer = await client.post(
        "/users/", content=_json({**ADA, **change}), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert (await client.get("/users/")).json() == []


@pytest.mark.parametrize("query", ["skip=-1", f"skip={2**63}", "limit=0", "limit=501", "limit=x"])
@pytest.mark.parametrize("path", ["/users/", "/items/"])
async def test_a_page_outside_the_limits_is_a_422(client: AsyncClient, path: str, query: str) -> None:
    """`skip` is at least 0 and within bigint, `limit` is 1 to 500."""
    answer = await client.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == f"query.{query.split('=', maxsplit=1)[0]}"


async def test_skip_and_limit_give_a_page(client: AsyncClient) -> None:
    """Pages come in the order of registration; past the end there is nothing, however far."""
    for name in "abc":
        await client.post("/users/", json={**ADA, "email": f"{name}@example.com"})
    emails = [user["email"] for user in (await client.get("/users/?skip=1&limit=1")).json()]
    assert emails == ["b@example.com"]
    assert (await client.get(f"/users/?skip={2**63 - 1}")).json() == []


async def test_a_list_costs_one_statement_whatever_its_length(client: AsyncClient, container: Container) -> None:
    """Users with their items come in a fixed number of statements."""

    async def statements() -> int:
        before = container.database().stats().totals.statements
        await client.get("/users/")
        return container.database().stats().totals.statements - before

    assert await statements() == 1
    for name in "abc":
        user = (await client.post("/users/", json={**ADA, "email": f"{name}@example.com"})).json()
        await client.post(f"/users/{user['id']}/items/", json={"title": "first"})
        await client.post(f"/users/{user['id']}/items/", json={"title": "second"})
    assert await statements() == 1
    users = (await client.get("/users/")).json()
    assert [[item["title"] for item in user["items"]] for user in users] == [["first", "second"]] * 3


async def test_the_password_is_stored_as_argon2id_and_never_answered(client: AsyncClient, container: Container) -> None:
    """What is stored is a hash that fits the password, and no answer carries either."""
    created = await client.post("/users/", json=ADA)
    async with container.database().scope("look"):
        stored = await container.connection().fetchval("SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$")
    assert await container.passwords().verify(ADA["password"], stored)
    assert not await container.passwords().verify("wrong", stored)
    for answer in (created, await client.get("/users/"), await client.get(f"/users/{created.json()['id']}")):
        assert "password" not in answer.text
        assert stored not in answer.text


def _json(body: dict[str, object]) -> bytes:
    import json

    return json.dumps(body).encode()


async def test_a_user_is_changed_in_what_is_given(client: AsyncClient) -> None:
    """What is left out stays; its items stay its own."""
    user = (await client.post("/users/", json=ADA)).json()
    await client.post(f"/users/{user['id']}/items/", json={"title": "A pen"})
    changed = await client.patch(f"/users/{user['id']}", json={"email": "countess@example.com"})
    assert changed.status_code == 200
    assert changed.json() == (await client.get(f"/users/{user['id']}")).json()
    assert (changed.json()["email"], changed.json()["is_active"]) == ("countess@example.com", True)
    assert [item["title"] for item in changed.json()["items"]] == ["A pen"]
    assert (await client.patch(f"/users/{user['id']}", json={})).json() == changed.json()
    inactive = await client.patch(f"/users/{user['id']}", json={"is_active": False})
    assert (inactive.json()["email"], inactive.json()["is_active"]) == ("countess@example.com", False)


@pytest.mark.parametrize("is_active", [0, "no", "false", []])
async def test_only_true_and_false_say_whether_a_user_is_active(client: AsyncClient, is_active: object) -> None:
    """What a program of another language takes for false is refused, and nobody is shut out by it."""
    user = (await client.post("/users/", json=ADA)).json()
    refused = await client.patch(f"/users/{user['id']}", json={"is_active": is_active})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.is_active")
    assert (await client.get(f"/users/{user['id']}")).json()["is_active"] is True


async def test_a_change_to_a_taken_address_is_a_400(client: AsyncClient) -> None:
    """In whatever case, and nothing is changed; one's own in another case is free."""
    await client.post("/users/", json=ADA)
    bob = (await client.post("/users/", json={**ADA, "email": "bob@example.com"})).json()
    refused = await client.patch(f"/users/{bob['id']}", json={"email": "ADA@example.com"})
    assert (refused.status_code, refused.json()["detail"]) == (400, "Email already registered")
    assert (await client.get(f"/users/{bob['id']}")).json() == bob
    assert (await client.patch(f"/users/{bob['id']}", json={"email": "BOB@example.com"})).status_code == 200


async def test_a_deleted_user_is_gone_with_its_items(client: AsyncClient) -> None:
    """204, then 404; the items of others stay."""
    ada, bob = [(await client.post("/users/", json={**ADA, "email": f"{name}@example.com"})).json() for name in "ab"]
    for user in (ada, bob):
        await client.post(f"/users/{user['id']}/items/", json={"title": "A pen"})
    assert (await client.delete(f"/users/{ada['id']}")).status_code == 204
    assert (await client.get(f"/users/{ada['id']}")).status_code == 404
    assert [item["owner_id"] for item in (await client.get("/items/")).json()] == [bob["id"]]
    assert (await client.delete(f"/users/{ada['id']}")).status_code == 404


async def test_a_user_is_deleted_while_items_are_added(cloned_client: AsyncClient) -> None:
    """Whichever comes first: an item is added or its user is not found, and in the end neither is there."""
    user = (await cloned_client.post("/users/", json=ADA)).json()
    path = f"/users/{user['id']}"
    adding = [cloned_client.post(f"{path}/items/", json={"title": "A pen"}) for _ in range(20)]
    answers = await asyncio.gather(*adding[:10], cloned_client.delete(path), *adding[10:])
    assert answers[10].status_code == 204
    assert {answer.status_code for answer in answers} <= {201, 204, 404}
    assert (await cloned_client.get("/items/")).json() == []


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_an_unknown_user_is_not_changed(client: AsyncClient, method: str) -> None:
    """A 404 that says so."""
    answer = await client.request(method, "/users/1000000", json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["detail"]) == (404, "User not found")


async def test_pages_follow_one_another_by_key(client: AsyncClient) -> None:
    """`Link` leads from page to page, to each user once, and there is none on the last."""
    for name in "abcde":
        await client.post("/users/", json={**ADA, "email": f"{name}@example.com"})
    seen, url = [], "/users/?limit=2"
    for size in (2, 2, 1):
        answer = await client.get(url)
        assert len(answer.json()) == size
        seen += [user["email"][0] for user in answer.json()]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert (seen, url) == (list("abcde"), "")
    assert "next" not in (await client.get("/users/?limit=5")).links


async def test_a_password_has_at_least_the_length_that_is_configured(
    client: AsyncClient, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 422 that says how many characters, at registration and at a change; nothing is stored."""
    user = (await client.post("/users/", json=ADA)).json()
    with container.passwords.override(
        PasswordHasher(PasswordSettings(memory_kib=64, time_cost=1, threads=1, min_length=8))
    ):
        short = await client.post("/users/", json={"email": "bob@example.com", "password": "seven77"})
        changed = await client.put(f"/users/{user['id']}/password", json={"password": "seven77"})
    for answer in (short, changed):
        assert (answer.status_code, answer.json()["detail"]) == (422, "body.password: must have at least 8 characters")
    assert (await client.get("/users/")).json() == [user]


async def test_a_user_with_many_items_is_a_short_answer(client: AsyncClient, container: Container) -> None:
    """The first 500 come with it, everywhere; the list of its own has all, and others' are not cut."""
    ada, bob = [
        (await client.post("/users/", json={**ADA, "email": f"{name}@example.com"})).json()["id"] for name in "ab"
    ]
    many = "INSERT INTO items (title, owner_id) SELECT number::text, $1 FROM generate_series(1, 510) AS number"
    async with container.database().scope("many"):
        await container.connection().execute(many, ada)
        await container.connection().execute("INSERT INTO items (title, owner_id) VALUES ('one', $1)", bob)
    listed = (await client.get("/users/")).json()
    assert [len(user["items"]) for user in listed] == [500, 1]
    for answer in (await client.get(f"/users/{ada}"), await client.patch(f"/users/{ada}", json={})):
        assert [item["title"] for item in answer.json()["items"]] == [str(number) for number in range(1, 501)]
    rest = await client.get(f"/users/{ada}/items/?after={listed[0]['items'][-1]['id']}")
    assert len(rest.json()) == 10
