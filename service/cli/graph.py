"""The container's graph as a Mermaid flowchart."""

from collections.abc import Iterator
from typing import Any

from dependency_injector import providers
from dependency_injector.containers import Container


def mermaid(container: Container) -> str:
    """Return a flowchart with an arrow from each provider to its arguments. Resources are marked as owners of a lifetime."""
    lines = ["flowchart LR"]
    names = {id(provider): name for name, provider in container.providers.items()}
    for name, provider in container.providers.items():
        lines.append(f"    {name}{_shape(provider)}")
    for name, provider in container.providers.items():
        used = sorted({names[id(part)] for part in _parts(provider) if id(part) in names})
        lines.extend(f"    {name} --> {part}" for part in used)
    lines.append("    classDef lifetime stroke-width:3px")
    owners = [name for name, provider in container.providers.items() if isinstance(provider, providers.Resource)]
    lines.append(f"    class {','.join(owners)} lifetime")
    return "\n".join(lines)


def _shape(provider: providers.Provider[Any]) -> str:
    made = getattr(getattr(provider, "provides", None), "__name__", "")
    kind = type(provider).__name__
    if isinstance(provider, providers.Resource):
        return f'[["{made}<br>{kind}: owns a lifetime"]]'
    if isinstance(provider, providers.Singleton):
        return f'["{made}<br>{kind}"]'
    return f'("{made}<br>{kind}")' if made else f'("{kind}")'


def _parts(provider: providers.Provider[Any]) -> Iterator[providers.Provider[Any]]:
    """Yield the providers among a provider's arguments; `settings.provided.x.y` counts as `settings`."""
    choices = [provider.selector, *provider.providers.values()] if isinstance(provider, providers.Selector) else []
    for part in [*choices, *getattr(provider, "args", ()), *getattr(provider, "kwargs", {}).values()]:
        if isinstance(part, providers.Provider):
            yield _root(part)


def _root(part: Any) -> Any:
    while isinstance(part, providers.ProvidedInstance | providers.AttributeGetter):
        part = part.provides
    return part
