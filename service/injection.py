"""`@inject`, and a container that refuses to start with a name that it cannot resolve."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args, get_origin
from weakref import WeakKeyDictionary, WeakSet

from dependency_injector import containers, providers, wiring
from dependency_injector.wiring import Provide, UnresolvedMarkerWarning

__all__ = ["NotWired", "Provide", "WiredContainer", "inject"]

F = TypeVar("F", bound=Callable[..., Any])
Injections = Callable[[], Iterable[tuple[str, providers.Provider[Any]]]]
"""Returns the providers of a function's injected parameters, by name, as they are bound now."""


class NotWired(RuntimeError):
    """A function that wants injections has no container for them, or a name that the container does not have."""


_injected: WeakSet[Callable[..., Any]] = WeakSet()

Bound = dict[Callable[..., Any], dict[str, providers.Provider[Any]]]
"""The providers of functions' injected parameters, by name."""

_bound: "WeakKeyDictionary[containers.Container, Bound]" = WeakKeyDictionary()
"""The functions of each container, in the order in which the containers were wired."""

CONTAINER: ContextVar[containers.Container | None] = ContextVar("poolkeeper_container", default=None)
"""The container that injected functions ask. If none is set, they ask the one that was wired last."""


class WiredContainer(containers.DynamicContainer):
    """A container that raises for a name it cannot resolve when it is wired, so that no handler gets a marker.

    dependency-injector wires a module to the last container only. Here each container keeps its own functions, so two
    applications in one process do not mix.
    """

    def wire(self, *args: Any, **options: Any) -> None:
        """Wire modules as dependency-injector does. Raises `NotWired` for a name without a provider."""
        before = {function: _choices(function) for function in list(_injected)}
        for function, choices in before.items():
            _bindings(function).injections = dict(choices)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnresolvedMarkerWarning)
            try:
                super().wire(*args, **{**options, "warn_unresolved": True})
            except UnresolvedMarkerWarning as warning:
                raise NotWired(self._unresolved(str(warning))) from None
            finally:
                self._keep(before)

    def _unresolved(self, warning: str) -> str:
        """Return the message for a name without a provider. dependency-injector's warning has only the parameter's name."""
        missing = "the container has no provider of that name"
        for function in list(_injected):
            for parameter, marker in _bindings(function).reference_injections.items():
                name = str(marker.provider)
                if (
                    name not in self.providers
                    and warning == f"Unresolved marker {parameter} in {function.__qualname__}"
                ):
                    near = get_close_matches(name, self.providers, 1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    where = f"{function.__module__}.{function.__qualname__} (parameter {parameter})"
                    return f"{name!r} in {where}: {missing}{hint}"
        return f"{warning}: {missing}"

    def _keep(self, before: Bound) -> None:
        """Note what `wire` has bound since `before`, and bind the functions of other containers again."""
        new = {
            function: bound
            for function, choices in before.items()
            if choices.items().isdisjoint((bound := _bindings(function).injections).items())
        }
        if bound := {**_bound.pop(self, {}), **new}:
            _bound[self] = bound
        _bind(list(_injected))

    def unwire(self) -> None:
        """Unwire all modules. Their functions raise `NotWired` then, unless another container is wired."""
        super().unwire()
        _bound.pop(self, None)
        _bind(list(_injected))


def _bind(functions: Iterable[Callable[..., Any]]) -> None:
    """Bind functions to their providers if one container is wired, or to a choice made at each call if there are more."""
    every = list(_bound.values())
    for function in functions:
        bindings = _bindings(function)
        if len(every) == 1 and function in every[0]:
            bindings.injections = every[0][function]
        else:
            bindings.injections = _choices(function)


def _choices(function: Callable[..., Any]) -> dict[str, providers.Provider[Any]]:
    """Return providers that look up the current container at each call."""
    return {name: providers.Callable(_chosen, function, name) for name in _bindings(function).reference_injections}


def _chosen(function: Callable[..., Any], name: str) -> Any:
    """Return the value of a function's parameter. Raises `NotWired`, so that no call ever sees a marker."""
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
    """Return the table that dependency-injector's wrapper of a function reads. It has no public name."""
    return wiring._patched_registry.get_callable(function)  # noqa: SLF001


def inject(function: F) -> F:
    """Inject as dependency-injector does, and hide the injected parameters from the signature.

    FastAPI then does not validate or document them, and needs no `Depends(Provide[...])`, which would cost a thread hop
    for each parameter (dependency-injector #595). Works on functions, methods and constructors. The function raises `NotWired`
    when it is called before its module is wired.

    Raises:
        TypeError: `function` is a generator, which would never see its caller's exceptions; or an annotation is a string
            with a `Provide` inside, which dependency-injector does not see.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"@inject on the generator {function.__qualname__}: use `async with` for the object that it yields"
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
    """Return the function that `inject` wraps and its injections; for any other function, itself and no injections."""
    bindings = _bindings(function)
    if bindings is None or bindings.reference_closing:
        return function, lambda: ()

    def injections() -> Iterable[tuple[str, providers.Provider[Any]]]:
        items: Iterable[tuple[str, providers.Provider[Any]]] = (
            bindings.injections.items()
        )  # read at each call: unwiring replaces the dictionary
        return items

    return bindings.original, injections


def is_injected(function: Callable[..., Any]) -> bool:
    """Return whether `inject` has made this function."""
    return function in _injected


def is_wired(container: containers.Container, function: Callable[..., Any]) -> bool:
    """Return whether a container is wired to this function."""
    return function in _bound.get(container, {})


def wants_injection(parameter: inspect.Parameter, function: Callable[..., Any]) -> bool:
    """Return whether a parameter has a marker. Raises `TypeError` for one that dependency-injector does not see."""
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
    """Return whether this is a `Provide[...]`, or another of dependency-injector's markers."""
    return getattr(type(candidate), "__IS_MARKER__", False)


def name_of(function: Callable[..., Any]) -> str:
    """Return a function's name for messages."""
    return getattr(function, "__qualname__", repr(function))
