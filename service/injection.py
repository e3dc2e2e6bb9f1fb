"""How code gets what it needs: `@inject`, and a container that refuses to start with a name it cannot resolve."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Annotated, Any, TypeVar, get_args, get_origin
from weakref import WeakKeyDictionary, WeakSet

from dependency_injector import containers, providers, wiring
from dependency_injector.wiring import Provide, UnresolvedMarkerWarning

__all__ = ["NotWired", "Provide", "WiredContainer", "inject"]

F = TypeVar("F", bound=Callable[..., Any])
Injections = Callable[[], Iterable[tuple[str, providers.Provider[Any]]]]
"""The providers of a function's injected parameters, by name, as they are bound now."""


class NotWired(RuntimeError):
    """A function that wants injections was called before its module was wired."""


_injected: WeakSet[Callable[..., Any]] = WeakSet()

Bound = dict[Callable[..., Any], dict[str, providers.Provider[Any]]]
"""The providers of functions' injected parameters, by name."""

_bound: "WeakKeyDictionary[containers.Container, Bound]" = WeakKeyDictionary()
"""What each container is wired to; the container that was wired last is the last."""

CONTAINER: ContextVar[containers.Container | None] = ContextVar("poolkeeper_container", default=None)
"""The container that injected functions ask. While none is set they ask the one that was wired last."""


class WiredContainer(containers.DynamicContainer):
    """A container in which a name that cannot be resolved is an error at wiring, not a marker in a handler.

    dependency-injector wires a module to the last container alone. Here each container keeps what it was wired to, so
    two applications of one process do not mix.
    """

    def wire(self, *args: Any, **options: Any) -> None:
        """dependency-injector's `wire`. Raises `NotWired` for a name that no provider has."""
        before = {function: _choices(function) for function in list(_injected)}
        for function, choices in before.items():
            _bindings(function).injections = dict(choices)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnresolvedMarkerWarning)
            try:
                super().wire(*args, **{**options, "warn_unresolved": True})
            except UnresolvedMarkerWarning as warning:
                raise NotWired(f"{warning}: the container has no provider of that name") from None
            finally:
                self._keep(before)

    def _keep(self, before: Bound) -> None:
        """Note what `wire` has bound since, and bind what other containers are wired to again."""
        new = {
            function: bound
            for function, choices in before.items()
            if choices.items().isdisjoint((bound := _bindings(function).injections).items())
        }
        if bound := {**_bound.pop(self, {}), **new}:
            _bound[self] = bound
        _bind(list(_injected))

    def unwire(self) -> None:
        """dependency-injector's `unwire`: from then on the functions raise `NotWired`, unless another container is wired."""
        super().unwire()
        _bound.pop(self, None)
        _bind(list(_injected))


def _bind(functions: Iterable[Callable[..., Any]]) -> None:
    """Bind functions: to their providers, where one container is wired, and else to a choice that is made at each call."""
    every = list(_bound.values())
    for function in functions:
        bindings = _bindings(function)
        if len(every) == 1 and function in every[0]:
            bindings.injections = every[0][function]
        else:
            bindings.injections = _choices(function)


def _choices(function: Callable[..., Any]) -> dict[str, providers.Provider[Any]]:
    """Providers that look for the running container at each call."""
    return {name: providers.Callable(_chosen, function, name) for name in _bindings(function).reference_injections}


def _chosen(function: Callable[..., Any], name: str) -> Any:
    """What a function gets for a parameter. Raises `NotWired`, so that no call ever sees a marker."""
    container = CONTAINER.get()
    tables = list(_bound.values()) if container is None else [_bound.get(container, {})]
    for bound in reversed(tables):
        if function in bound:
            return bound[function][name]()
    raise NotWired(
        f"{name_of(function)} wants {name!r} injected, and its module {function.__module__} is not wired: "
        f"name it in `wiring_config` in containers.py, or call `container.wire(modules=[...])` after it is imported"
    )


def _bindings(function: Callable[..., Any]) -> Any:
    """What dependency-injector's wrapper of a function asks. There is no public way to it."""
    return wiring._patched_registry.get_callable(function)  # noqa: SLF001


def inject(function: F) -> F:
    """dependency-injector's `inject`, with the injected parameters hidden from whoever reads the signature.

    FastAPI then neither validates nor documents them, and needs no `Depends(Provide[...])`, which would cost a thread hop
    each (dependency-injector #595). Works on functions, methods and constructors.

    Raises `TypeError` on a generator, whose caller's exceptions would never reach it, and on annotations that are strings
    with a `Provide` inside, which dependency-injector does not see. The function raises `NotWired` when it is called
    before its module is wired.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"@inject on the generator {function.__qualname__}: open what it yields with `async with` instead"
        )
    signature = inspect.signature(function)
    injected = [name for name, parameter in signature.parameters.items() if wants_injection(parameter, function)]
    wired = wiring.inject(function)
    if injected:
        _injected.add(wired)
        _bind([wired])
    visible = [parameter for name, parameter in signature.parameters.items() if name not in injected]
    wired.__signature__ = signature.replace(parameters=visible)  # type: ignore[attr-defined]
    return wired


def injections_of(function: Callable[..., Any]) -> tuple[Callable[..., Any], Injections]:
    """What `inject` wraps, and what its wrapper asks at each call; of any other function itself, and nothing."""
    bindings = _bindings(function)
    if bindings is None or bindings.reference_closing:
        return function, lambda: ()

    def injections() -> Iterable[tuple[str, providers.Provider[Any]]]:
        items: Iterable[tuple[str, providers.Provider[Any]]] = (
            bindings.injections.items()
        )  # unwiring puts another dictionary there
        return items

    return bindings.original, injections


def is_injected(function: Callable[..., Any]) -> bool:
    """Whether `inject` has made this function."""
    return function in _injected


def is_wired(container: containers.Container, function: Callable[..., Any]) -> bool:
    """Whether a container gives this function what it wants."""
    return function in _bound.get(container, {})


def wants_injection(parameter: inspect.Parameter, function: Callable[..., Any]) -> bool:
    """Whether a parameter has a marker. Raises `TypeError` for one that dependency-injector does not see."""
    if isinstance(parameter.annotation, str) and "Provide[" in parameter.annotation:
        raise TypeError(
            f"{name_of(function)}: the annotation of {parameter.name!r} is a string (`from __future__ import annotations`), "
            f"and its Provide is not seen: write `{parameter.name}: Type = Provide[...]`"
        )
    candidates = [parameter.default]
    if get_origin(parameter.annotation) is Annotated:
        candidates += get_args(parameter.annotation)[1:]
    return any(is_marker(candidate) for candidate in candidates)


def is_marker(candidate: object) -> bool:
    """Whether this is a `Provide[...]`, or another of dependency-injector's markers."""
    return getattr(type(candidate), "__IS_MARKER__", False)


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in messages."""
    return getattr(function, "__qualname__", repr(function))
