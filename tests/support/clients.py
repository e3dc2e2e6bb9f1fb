"""HTTP clients of an application in the test's process, and the users that they sign in as."""

from typing import Any

from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from starlette.applications import Starlette

from containers import Container
from service.app import create_app
from service.users.schemas import NewUser, User

PASSWORD = "correct horse"


def client_of(
    served: Container | Starlette, *, base_url: str = "http://test", follow_redirects: bool = False, **transport: Any
) -> AsyncClient:
    """Return a client of an application, or of a new application that serves a container.

    Args:
        served: The container or the application.
        base_url: As for httpx's client.
        follow_redirects: As for httpx's client.
        **transport: Options of httpx's `ASGITransport`, for example `raise_app_exceptions=False` to get a 500 as a response.
    """
    app = served if isinstance(served, Starlette) else create_app(served)
    return AsyncClient(transport=ASGITransport(app, **transport), base_url=base_url, follow_redirects=follow_redirects)


async def register(container: Container, email: str, password: str = PASSWORD, *, is_admin: bool = False) -> User:
    """Register a user, and make it an admin if asked for."""
    async with container.database().scope("registration"):
        user = await container.user_service().register(NewUser(email=email, password=SecretStr(password)))
        if is_admin:
            await container.user_service().make_admin(user.id)
    return user


async def sign_in(client: AsyncClient, email: str, password: str = PASSWORD) -> dict[str, str]:
    """Sign a user in, and return the headers with its token."""
    answer = await client.post("/token", data={"username": email, "password": password})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
