"""`@inject`: everywhere, invisible to FastAPI, and never a marker in anybody's hands."""

import functools
import inspect
import itertools
import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Annotated, Any

import pytest
from dependency_injector import providers, wiring
from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import FastAPIError
from fastapi.routing import APIRoute

from containers import Container
from service.app import create_app
from service.injection import NotWired, Provide, inject
from service.users.service import UserService
from tests.support.clients import client_of


@inject
async def plain(users: UserService = Provide["user_service"]) -> UserService:
    """A plain function that nobody passes anything to."""
    return users


async def two_above() -> UserService:
    return await plain()


async def three_above() -> UserService:
    return await two_above()


@inject
def synchronous(skip: int = 3, users: UserService = Provide["user_service"]) -> tuple[int, UserService]:
    return skip, users


@inject
def annotated(users: Annotated[UserService, Provide["user_service"]]) -> UserService:
    return users


class Handler:
    """A class-based handler: its constructor and its methods get what they need."""

    @inject
    def __init__(self, name: str, users: UserService = Provide["user_service"]) -> None:
        self.name = name
        self.users = users

    @inject
    async def get(self, user_id: int, users: UserService = Provide["user_service"]) -> dict[str, object]:
        return {"handler": self.name, "user_id": user_id, "same kind": type(users) is type(self.users)}

    @staticmethod
    @inject
    def static(users: UserService = Provide["user_service"]) -> UserService:
        return users


@pytest.fixture
def wired() -> Iterator[Container]:
    """A container wired to this module. It needs no database."""
    container = Container()
    container.wire(modules=[__name__])
    yield container
    container.unwire()


_numbers = itertools.count(1)


@pytest.fixture
def other_module() -> Iterator[ModuleType]:
    """An empty module to define things in."""
    module = ModuleType(f"tests.other_module_{next(_numbers)}")  # what was defined in one stays registered for its name
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


async def test_a_function_below_everything_gets_its_service(wired: Container) -> None:
    """Three calls down, nothing passed on."""
    assert isinstance(await three_above(), UserService)


def test_synchronous_functions_constructors_and_static_methods_are_injected(wired: Container) -> None:
    """Whatever is decorated gets its objects, and what is passed by the caller goes before."""
    assert synchronous()[0] == 3
    assert isinstance(synchronous(4)[1], UserService)
    assert isinstance(Handler("h").users, UserService)
    assert isinstance(Handler.static(), UserService)
    assert isinstance(annotated(), UserService)  # type: ignore[call-arg]
    assert synchronous(users="mine")[1] == "mine"  # type: ignore[arg-type,comparison-overlap]


async def test_the_method_of_a_class_based_handler_is_an_endpoint(wired: Container) -> None:
    """FastAPI sees the path's parameter and nothing of the wiring."""
    app = FastAPI()
    app.add_api_route("/things/{user_id}", Handler("things").get)
    async with client_of(app) as client:
        answer = await client.get("/things/7")
    assert answer.json() == {"handler": "things", "user_id": 7, "same kind": True}
    [operation] = app.openapi()["paths"]["/things/{user_id}"].values()
    assert [parameter["name"] for parameter in operation["parameters"]] == ["user_id"]


def test_no_wiring_shows_in_signatures_or_openapi(wired: Container) -> None:
    """The injected parameters are gone from the signature that FastAPI reads."""
    assert list(inspect.signature(synchronous).parameters) == ["skip"]
    assert list(inspect.signature(Handler).parameters) == ["name"]
    document = str(create_app(wired).openapi())
    for hidden in ("user_service", "item_service", "Provide", "countdown"):
        assert hidden not in document


def test_no_endpoint_costs_a_thread_hop(wired: Container) -> None:
    """Every endpoint of the service is a coroutine function, and has no dependency that FastAPI would resolve."""
    for route in create_app(wired).routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            assert inspect.iscoroutinefunction(route.endpoint)
            assert route.dependant.dependencies == []


def test_a_name_without_a_provider_stops_the_start(wired: Container, other_module: ModuleType) -> None:
    """Wiring a misspelt name raises, and says the name, the function that wants it, and a name that is near."""

    @inject
    async def misspelt(users: UserService = Provide["user_servise"]) -> UserService:
        return users

    misspelt.__module__ = other_module.__name__
    other_module.misspelt = misspelt  # type: ignore[attr-defined]
    with pytest.raises(NotWired) as caught:
        wired.wire(modules=[other_module])
    assert str(caught.value) == (
        f"'user_servise' in {misspelt.__module__}.{misspelt.__qualname__} (parameter users): the container has no provider "
        "of that name; did you mean 'user_service'?"
    )


def test_an_attribute_without_a_provider_stops_the_start(wired: Container, other_module: ModuleType) -> None:
    """A marker need not be a parameter's: that of a module has its name in the message."""
    other_module.users = Provide["user_servise"]  # type: ignore[attr-defined]
    with pytest.raises(NotWired, match=r"Unresolved marker users in .*: the container has no provider of that name"):
        wired.wire(modules=[other_module])


async def test_a_function_that_was_never_wired_refuses_to_run(wired: Container, other_module: ModuleType) -> None:
    """It raises, and names the module that is missing from the wiring; it never gets a marker."""

    @inject
    async def late(users: UserService = Provide["user_service"]) -> UserService:
        return users

    late.__module__ = other_module.__name__
    with pytest.raises(NotWired, match=r"late wants 'users' injected, and its module .* is not wired"):
        await late()


@pytest.mark.parametrize("kind", [UserService, dict])
def test_inject_above_the_route_decorator_stops_the_start(
    wired: Container, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    """The route then has the function without injection: FastAPI refuses the type, or `create_app` the marker."""
    router = APIRouter()
    monkeypatch.setattr("service.app.ROUTERS", (router,))

    async def wrong(users: Any = Provide["user_service"]) -> None: ...

    wrong.__annotations__["users"] = kind
    with pytest.raises((FastAPIError, NotWired), match=r"wrong: 'users' is not injected|Invalid args"):
        inject(router.get("/wrong")(wrong))
        create_app(wired)


async def endpoint_without_inject(users: Any = Provide["user_service"]) -> None: ...


class DependencyWithoutInject:
    """A class that FastAPI would build for each request."""

    def __init__(self, users: Any = Provide["user_service"]) -> None: ...


def _nested(inner: APIRouter) -> APIRouter:
    outer = APIRouter()
    outer.include_router(inner)
    return outer


def _router(*, depends: Any = None, endpoint: Any = None, websocket: Any = None, everywhere: Any = None) -> APIRouter:
    router = APIRouter(dependencies=[Depends(everywhere)] if everywhere else [])
    if endpoint is not None:
        router.add_api_route("/x", endpoint)
    if websocket is not None:
        router.add_api_websocket_route("/x", websocket)
    if depends is not None:

        async def uses(value: Annotated[object, Depends(depends)]) -> None: ...

        router.add_api_route("/x", uses)
    return router


@pytest.mark.parametrize(
    "router",
    [
        _nested(_router(endpoint=endpoint_without_inject)),
        _router(websocket=endpoint_without_inject),
        _router(depends=endpoint_without_inject),
        _router(depends=DependencyWithoutInject),
        _router(depends=Provide["user_service"]),
        _router(everywhere=endpoint_without_inject),
        _router(endpoint=functools.partial(endpoint_without_inject)),
    ],
    ids=["nested router", "websocket", "dependency", "class", "Depends(Provide)", "router's dependency", "partial"],
)
def test_a_marker_anywhere_in_a_route_stops_the_start(monkeypatch: pytest.MonkeyPatch, router: APIRouter) -> None:
    """Wherever `@inject` is missing: the application is not built, and no request ever gets a marker."""
    monkeypatch.setattr("service.app.ROUTERS", (router,))
    with pytest.raises(NotWired, match="@inject"):
        create_app(Container())


async def test_what_nested_routers_and_dependencies_want_is_wired(
    monkeypatch: pytest.MonkeyPatch, other_module: ModuleType
) -> None:
    """Also where only a dependency's module, or only a nested router's, uses `@inject`."""

    @inject
    async def dependency(users: UserService = Provide["user_service"]) -> str:
        return type(users).__name__

    async def nested(users: Annotated[str, Depends(dependency)]) -> str:
        return users

    dependency.__module__ = other_module.__name__
    other_module.dependency = dependency  # type: ignore[attr-defined]
    monkeypatch.setattr("service.app.ROUTERS", (_nested(_router(endpoint=nested)),))
    async with client_of(Container()) as client:
        assert (await client.get("/x")).json() == "UserService"


async def test_after_unwiring_functions_refuse_again() -> None:
    """Not even then do they get markers."""
    container = Container()
    container.wire(modules=[__name__])
    assert isinstance(await plain(), UserService)
    container.unwire()
    with pytest.raises(NotWired):
        await plain()


def test_generators_are_refused() -> None:
    """Exceptions would never reach an injected generator, and what it opened would leak."""
    with pytest.raises(TypeError, match="generator"):

        @inject
        async def generator(users: UserService = Provide["user_service"]) -> AsyncIterator[UserService]:
            yield users

    with pytest.raises(TypeError, match="generator"):

        @inject
        def synchronous_generator(users: UserService = Provide["user_service"]) -> Iterator[UserService]:
            yield users


def test_inject_where_nothing_is_injected_warns(wired: Container) -> None:
    """dependency-injector's own warning; the function stays as it is."""

    def nothing() -> int:
        return 7

    with pytest.warns(wiring.DIWiringWarning, match="not required"):
        assert inject(nothing)() == 7


def test_annotations_that_dependency_injector_cannot_see_are_refused() -> None:
    """A marker inside a string annotation would silently not be injected."""

    def hidden(users: "Annotated[UserService, Provide['user_service']]") -> UserService:
        return users

    with pytest.raises(TypeError, match=r"write `users: Type = Provide\[\.\.\.\]`"):
        inject(hidden)


def test_an_override_reaches_every_depth_and_ends(wired: Container) -> None:
    """While it lasts, also code that nothing is passed to gets the other object."""
    with wired.user_service.override(providers.Object("a fake")):
        assert synchronous()[1] == "a fake"  # type: ignore[comparison-overlap]
    assert isinstance(synchronous()[1], UserService)


def test_dependency_injectors_own_provide_works_too(wired: Container, other_module: ModuleType) -> None:
    """`service.injection.Provide` is dependency-injector's, for one import less."""
    marker: Any = wiring.Provide
    assert marker is Provide
