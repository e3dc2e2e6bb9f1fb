"""The service: users and items on one declarative container.

`main` and `cli` are the entry points; `app` assembles the application. Features have packages with the same file names in
each: `router`, `service`, `repository`, `schemas`, `errors`, `settings`.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "service.access": "service.auth.access",
    "service.checks": "service.cli.checks",
    "service.middleware": "service.web.middleware",
    "service.server": "service.web.server.protocol",
}
"""Modules that resources, tests and `--http` of other projects import by their path before 0.2."""


class _OldPath(MetaPathFinder, Loader):
    """Imports a module of `MOVED` from its new path, with a `DeprecationWarning`."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - Python's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return a spec for a module that has moved."""
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python: `exec_module` replaces the module."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        sys.modules[old] = import_module(MOVED[old])
        warnings.warn(
            f"{old} has moved to {MOVED[old]}; the old path works until 0.2", DeprecationWarning, stacklevel=2
        )


sys.meta_path.append(_OldPath())
