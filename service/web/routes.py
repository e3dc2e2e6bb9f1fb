"""What the routes of an application call: found, checked for markers that nobody would replace, and wired."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from dependency_injector.containers import Container
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from service.injection import NotWired, is_injected, is_marker, is_wired, name_of, wants_injection

Call = Callable[..., Any]
"""An endpoint or a dependency: a function, method, class, callable instance, or a partial of one."""


def wire_calls(container: Container, calls: Iterable[Call]) -> None:
    """Wire the modules of all functions under `@inject` among the calls, except those that are wired already.

    Raises `NotWired` for a call that would get a marker, and for an injected name without a provider.
    """
    modules: set[str] = set()
    for call in calls:
        refuse_markers(call)
        modules.update(part.__module__ for part in _parts(call) if is_injected(part) and not is_wired(container, part))
    if modules:
        container.wire(modules=sorted(modules))


def calls_of_routers(routers: Iterable[APIRouter]) -> Iterator[Call]:
    """Yield the dependencies of whole routers, which a router without routes has, too."""
    for router in routers:
        yield from (depends.dependency for depends in router.dependencies if depends.dependency)


def calls_of_routes(routes: Iterable[BaseRoute]) -> Iterator[Call]:
    """All that FastAPI calls for the requests to routes: endpoints, websockets and dependencies, of nested routers too."""
    for route in routes_of(routes):
        yield from calls_of(route.dependant)


def routes_of(routes: Iterable[BaseRoute]) -> Iterator[RouteContext]:
    """The routes and websockets of FastAPI among these, with those of nested routers and of mounted applications."""
    for route in iter_route_contexts(list(routes)):
        if hasattr(route, "dependant"):
            yield route
        else:
            yield from routes_of(getattr(route, "routes", ()))


def calls_of(dependant: Dependant) -> Iterator[Call]:
    """A route's endpoint and all that it depends on."""
    if dependant.call is not None:  # pragma: no branch - FastAPI's type allows what it never makes
        yield dependant.call
    for dependency in dependant.dependencies:
        yield from calls_of(dependency)


def refuse_markers(call: Call) -> None:
    """Raises `NotWired` for a call that would get a marker in place of what should be injected.

    That is so when `@inject` is missing, or stands above the route's decorator, which then got the function without it;
    and where a marker is not a parameter's default, but an attribute, or an argument of a partial.
    """
    if is_marker(call):
        raise NotWired(f"Depends({call!r}): write `name: Type = {call!r}` in a function under @inject instead")
    for name, parameter in inspect.signature(call).parameters.items():
        if wants_injection(parameter, call):
            raise NotWired(f"{name_of(call)}: {name!r} is not injected: put @inject directly above the function")
    for where, marker in _markers(call):
        raise NotWired(
            f"{name_of(call)}: {where} is {marker!r}, which nobody replaces there: "
            f"take it as a parameter of a function under @inject"
        )


def _markers(call: Call) -> Iterator[tuple[str, object]]:
    """Markers that are no parameters' defaults, and where they are."""
    for part in _parts(call):
        for where, value in _values(part):
            if is_marker(value):
                yield where, value


def _values(part: Any) -> Iterator[tuple[str, object]]:
    """What a part of a call reads, beside its parameters."""
    if isinstance(part, partial):
        yield from (("an argument of the partial", value) for value in (*part.args, *part.keywords.values()))
    elif inspect.isfunction(part):
        yield from ((f"the global {name!r}", part.__globals__.get(name)) for name in part.__code__.co_names)
    else:
        kinds = part.__mro__ if isinstance(part, type) else (part, *type(part).__mro__)
        for kind in kinds:
            yield from ((f"the attribute {name!r}", value) for name, value in getattr(kind, "__dict__", {}).items())


def _parts(call: Any) -> Iterator[Any]:
    """A call, and what it stands for: the function of a partial, the method of an instance, what a decorator wraps."""
    while call is not None:
        yield call
        if isinstance(call, partial):
            call = call.func
        elif inspect.ismethod(call):
            yield call.__self__
            call = call.__func__
        elif isinstance(call, type):
            call = call.__init__  # type: ignore[misc]
        elif hasattr(call, "__wrapped__"):
            call = call.__wrapped__
        elif inspect.isroutine(call):
            return
        else:
            call = type(call).__call__
