"""Injected functions in whatever form FastAPI takes them, and several applications in one process."""

import functools
import gc
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Annotated, Any

import pytest
from dependency_injector import providers
from fastapi import APIRouter, Depends

from containers import Container
from service.app import create_app
from service.auth.access import PUBLIC
from service.database import ScopedConnection
from service.injection import NotWired, Provide, inject
from service.startup import container_scope, opened
from tests.support.clients import client_of

CODE = """
import functools
from typing import Any
from dependency_injector.wiring import Provider, provided
from service.injection import Provide, inject
from service.users.service import UserService

@inject
async def kind(limit: int = 1, users: UserService = Provide["user_service"]) -> str:
    return type(users).__name__

@inject
def synchronous(users: UserService = Provide["user_service"]) -> str:
    return type(users).__name__

class View:
    @inject
    async def get(self, users: UserService = Provide["user_service"]) -> str:
        return type(users).__name__

    @inject
    async def __call__(self, users: UserService = Provide["user_service"]) -> str:
        return type(users).__name__

    @staticmethod
    @inject
    async def static(users: UserService = Provide["user_service"]) -> str:
        return type(users).__name__

    @classmethod
    @inject
    async def of_class(cls, users: UserService = Provide["user_service"]) -> str:
        return type(users).__name__

class Inherited(View):
    pass

class Context:
    @inject
    def __init__(self, users: UserService = Provide["user_service"]) -> None:
        self.kind = type(users).__name__

async def of_context(context: Context) -> str:
    return context.kind

def logged(function: Any) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)
    return wrapper

@logged
@inject
async def decorated(users: UserService = Provide["user_service"]) -> str:
    return type(users).__name__

@inject
@logged
async def decorating(users: UserService = Provide["user_service"]) -> str:
    return type(users).__name__

@inject
async def made(make: Any = Provider["user_service"]) -> str:
    return type(make()).__name__

@inject
async def attribute(size: int = Provide["settings", provided().database.max_size]) -> str:
    return "UserService" if isinstance(size, int) else repr(size)

short = inject(lambda users=Provide["user_service"]: type(users).__name__)

def _nested():
    @inject
    async def nested(users: UserService = Provide["user_service"]) -> str:
        return type(users).__name__
    return nested

nested = _nested()
"""

FORMS: dict[str, Callable[[Any], Any]] = {
    "a function": lambda m: m.kind,
    "a partial": lambda m: functools.partial(m.kind, limit=5),
    "a partial with positions": lambda m: functools.partial(m.kind, 5),
    "a partial of a partial": lambda m: functools.partial(functools.partial(m.kind, 5)),
    "a partial of a def": lambda m: functools.partial(m.synchronous),
    "a partial of a method": lambda m: functools.partial(m.View().get),
    "a partial of a callable instance": lambda m: functools.partial(m.View()),
    "a method": lambda m: m.View().get,
    "an inherited method": lambda m: m.Inherited().get,
    "a callable instance": lambda m: m.View(),
    "a static method": lambda m: m.View.static,
    "a class method": lambda m: m.View.of_class,
    "below another decorator": lambda m: m.decorated,
    "above another decorator": lambda m: m.decorating,
    "Provider": lambda m: m.made,
    "provided": lambda m: m.attribute,
    "a lambda": lambda m: m.short,
    "a nested function": lambda m: m.nested,
}

_numbers = itertools.count(1)


@pytest.fixture
def module() -> Iterator[Any]:
    """A module that nobody has wired."""
    module = ModuleType(f"tests.forms_{next(_numbers)}")
    sys.modules[module.__name__] = module
    exec(CODE, module.__dict__)
    yield module
    del sys.modules[module.__name__]


async def _answer(monkeypatch: pytest.MonkeyPatch, router: APIRouter) -> Any:
    monkeypatch.setattr("service.app.ROUTERS", (router,))
    async with client_of(Container(), raise_app_exceptions=False) as client:
        return (await client.get("/x")).json()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("prepared", ["true", "false"])
async def test_an_injected_function_works_in_every_form(
    module: Any, monkeypatch: pytest.MonkeyPatch, form: str, prepared: str
) -> None:
    """As an endpoint and as a dependency, whichever module it comes from."""
    monkeypatch.setenv("POOLKEEPER_PERFORMANCE__PREPARED_ROUTES", prepared)
    call = FORMS[form](module)
    router = APIRouter(dependencies=[PUBLIC])
    router.add_api_route("/x", call, response_model=str)
    assert await _answer(monkeypatch, router) == "UserService"

    async def uses(value: Annotated[str, Depends(call)]) -> str:
        return value

    router = APIRouter(dependencies=[PUBLIC])
    router.add_api_route("/x", uses)
    assert await _answer(monkeypatch, router) == "UserService"


async def test_an_injected_class_is_a_dependency(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as a partial."""
    for dependency in (module.Context, functools.partial(module.Context)):

        async def uses(context: Any = Depends(dependency)) -> str:  # noqa: B008
            kind: str = context.kind
            return kind

        router = APIRouter(dependencies=[PUBLIC])
        router.add_api_route("/x", uses)
        assert await _answer(monkeypatch, router) == "UserService"


USERS: Any = Provide["user_service"]


async def reads_a_global() -> str:
    return repr(USERS)


class OfAttribute:
    """What dependency-injector would fill once, for the whole process."""

    users: Any = Provide["user_service"]

    async def get(self) -> str:
        return repr(self.users)

    async def __call__(self) -> str:
        return repr(self.users)


class OfInstance:
    """The same for one instance."""

    def __init__(self) -> None:
        self.users: Any = Provide["user_service"]

    async def __call__(self) -> str:
        return repr(self.users)


async def takes(users: Any) -> str:
    return repr(users)


@pytest.mark.parametrize(
    "call",
    [reads_a_global, OfAttribute().get, OfAttribute(), OfInstance(), functools.partial(OfAttribute()),
     functools.partial(takes, USERS), functools.partial(takes, users=USERS)],
    ids=["global", "method", "callable instance", "instance's attribute", "partial", "argument", "named argument"],
)  # fmt: skip
def test_a_marker_that_nobody_replaces_stops_the_start(monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    """Where it is no default of a parameter: the message names it."""
    router = APIRouter(dependencies=[PUBLIC])
    router.add_api_route("/x", call, response_model=str)
    monkeypatch.setattr("service.app.ROUTERS", (router,))
    with pytest.raises(NotWired, match="@inject"):
        create_app(Container())


@inject
async def same(connection: ScopedConnection = Provide["connection"]) -> int:
    return id(connection)


async def test_two_applications_of_one_process_do_not_mix(
    clone_dsn: str, rollback_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request gets the objects of its own application's container, at any depth, whichever was made last."""
    router = APIRouter(dependencies=[PUBLIC])

    @router.get("/deep")
    async def deep() -> list[int]:
        return [await same(), await same()]

    monkeypatch.setattr("service.app.ROUTERS", (router,))
    made = []
    for dsn in (clone_dsn, rollback_dsn):
        monkeypatch.setenv("DATABASE_URL", dsn)
        container = Container()
        container.wire(modules=[__name__])
        made.append((container, client_of(container, raise_app_exceptions=False)))
    for _ in range(2):
        for container, client in made:
            assert (await client.get("/deep")).json() == [id(container.connection())] * 2
    for container, client in made:
        container.unwire()
        await client.aclose()


async def test_two_applications_have_two_databases(
    clone_dsn: str, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written through one is not seen through the other, and neither fails."""
    made = []
    for dsn in (clone_dsn, empty_dsn):
        monkeypatch.setenv("DATABASE_URL", dsn)
        container = Container()
        made.append((container, client_of(container, raise_app_exceptions=False)))
    (first, one), (second, other) = made
    ada = {"email": "ada@example.com", "password": "correct horse"}
    async with opened(first), opened(second), one, other:
        assert [(await client.post("/users/", json=ada)).status_code for client in (one, other)] == [201, 201]
        assert [len((await client.get("/users/")).json()) for client in (one, other)] == [1, 1]


async def test_a_script_has_its_own_container(rollback_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `container_scope`, also when another was wired later."""
    monkeypatch.setenv("DATABASE_URL", rollback_dsn)
    mine, other = Container(), Container()
    for container in (mine, other):
        container.wire(modules=[__name__])
    async with container_scope(mine, "script"):
        assert await same() == id(mine.connection())
    assert await same() == id(other.connection())
    mine.unwire()
    other.unwire()


async def test_outside_of_an_application_the_last_container_counts() -> None:
    """And when it is unwired, the one before."""
    first, second = Container(), Container()
    first.wire(modules=[__name__])
    second.wire(modules=[__name__])
    assert await same() == id(second.connection())
    second.unwire()
    assert await same() == id(first.connection())
    first.unwire()
    with pytest.raises(NotWired):
        await same()


async def test_an_override_of_one_container_is_not_the_others() -> None:
    """Also while both are wired."""
    first, second = Container(), Container()
    first.wire(modules=[__name__])
    second.wire(modules=[__name__])
    with second.connection.override(providers.Object("a fake")):
        assert await same() == id(second.connection())
    second.unwire()
    first.unwire()


def test_a_container_that_is_gone_leaves_nothing() -> None:
    """Wiring does not keep it."""
    container = Container()
    container.wire(modules=[__name__])
    gone = weakref.ref(container)
    del container
    gc.collect()
    assert gone() is None
