"""A test that overrides one provider. All other providers are real.

pytest examples/test_override.py
"""

from dataclasses import asdict

from dependency_injector import providers
from httpx import ASGITransport, AsyncClient

from containers import Container
from service.app import create_app
from service.users.schemas import User

ADA = User(id=1, email="ada@example.com", is_active=True, items=[])


class OneUser:
    """A repository with one user."""

    async def get(self, user_id: int) -> User | None:
        return ADA if user_id == ADA.id else None


async def test_a_user_is_read_without_a_database() -> None:
    """Router, service and errors run on the fake. The pool is not open: a statement would be a 503."""
    container = Container()
    with container.user_repository.override(providers.Object(OneUser())):
        async with AsyncClient(transport=ASGITransport(create_app(container)), base_url="http://test") as client:
            assert (await client.get("/users/1")).json() == asdict(ADA)
            assert (await client.get("/users/2")).json()["detail"] == "User not found"
