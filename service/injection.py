"""How code gets what it needs: `@inject`, and a container that refuses to start with a name it cannot resolve."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin
from weakref import WeakSet

from dependency_injector import containers, providers, wiring
from dependency_injector.wiring import Provide, UnresolvedMarkerWarning

__all__ = ["NotWired", "Provide", "WiredContainer", "inject"]

F = TypeVar("F", bound=Callable[..., Any])
Injections = Callable[[], Iterable[tuple[str, providers.Provider[Any]]]]
"""The providers of a function's injected parameters, by name, as they are bound now."""


class NotWired(RuntimeError):
    """A function that wants injections was called before its module was wired."""


_injected: WeakSet[Callable[..., Any]] = WeakSet()


class WiredContainer(containers.DynamicContainer):
    """A container in which a name that cannot be resolved is an error at wiring, not a marker in a handler."""

    def wire(self, *args: Any, **options: Any) -> None:
        """dependency-injector's `wire`. Raises `NotWired` for a name that no provider has."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnresolvedMarkerWarning)
            try:
                super().wire(*args, **{**options, "warn_unresolved": True})
            except UnresolvedMarkerWarning as warning:
                raise NotWired(f"{warning}: the container has no provider of that name") from None

    def unwire(self) -> None:
        """dependency-injector's `unwire`: from then on the functions raise `NotWired`."""
        super().unwire()
        for function in list(_injected):
            _stand_in(function)


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
    injected = [name for name, parameter in signature.parameters.items() if _is_injected(parameter, function)]
    wired = wiring.inject(function)
    if injected:
        _injected.add(wired)
        _stand_in(wired)
    visible = [parameter for name, parameter in signature.parameters.items() if name not in injected]
    wired.__signature__ = signature.replace(parameters=visible)  # type: ignore[attr-defined]
    return wired


def _stand_in(function: Callable[..., Any]) -> None:
    """Bind what refuses, where no real provider is bound, so that no call ever sees a marker.

    dependency-injector has no public way to reach the bindings of one function.
    """
    bindings = wiring._patched_registry.get_callable(function)  # noqa: SLF001
    for name in bindings.reference_injections.keys() - bindings.injections.keys():
        refusal = providers.Callable(_not_wired, function.__module__, function.__qualname__, name)
        bindings.add_injection(name, refusal)


def injections_of(function: Callable[..., Any]) -> tuple[Callable[..., Any], Injections]:
    """What `inject` wraps, and what its wrapper asks at each call; of any other function itself, and nothing."""
    bindings: Any = wiring._patched_registry.get_callable(function)  # noqa: SLF001
    if bindings is None or bindings.reference_closing:
        return function, lambda: ()

    def injections() -> Iterable[tuple[str, providers.Provider[Any]]]:
        items: Iterable[tuple[str, providers.Provider[Any]]] = (
            bindings.injections.items()
        )  # unwiring puts another dictionary there
        return items

    return bindings.original, injections


def modules_with_injections() -> set[str]:
    """The names of modules in which `inject` is used. Wiring looks at every member of a module: others are not worth it."""
    return {function.__module__ for function in list(_injected)}


def refuse_visible_injections(endpoint: Callable[..., Any]) -> None:
    """Raises `NotWired` for an endpoint whose caller would have to pass what should be injected.

    That is so when `@inject` is missing, or stands above the route's decorator, which then got the function without it.
    """
    if _is_marker(endpoint):
        raise NotWired(f"Depends({endpoint!r}): write `name: Type = {endpoint!r}` in a function under @inject instead")
    for name, parameter in inspect.signature(endpoint).parameters.items():
        if _is_injected(parameter, endpoint):
            raise NotWired(f"{_name(endpoint)}: {name!r} is not injected: put @inject directly above the function")


def _is_injected(parameter: inspect.Parameter, function: Callable[..., Any]) -> bool:
    if isinstance(parameter.annotation, str) and "Provide[" in parameter.annotation:
        raise TypeError(
            f"{_name(function)}: the annotation of {parameter.name!r} is a string (`from __future__ import annotations`), "
            f"and its Provide is not seen: write `{parameter.name}: Type = Provide[...]`"
        )
    candidates = [parameter.default]
    if get_origin(parameter.annotation) is Annotated:
        candidates += get_args(parameter.annotation)[1:]
    return any(_is_marker(candidate) for candidate in candidates)


def _is_marker(candidate: object) -> bool:
    return getattr(type(candidate), "__IS_MARKER__", False)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _not_wired(module: str, function: str, parameter: str) -> NoReturn:
    raise NotWired(
        f"{function} wants {parameter!r} injected, and its module {module} is not wired: "
        f"name it in `wiring_config` in containers.py, or call `container.wire(modules=[...])` after it is imported"
    )
