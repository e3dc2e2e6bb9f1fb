"""Parameters of prepared routes: how a text of the request becomes a validated value."""

from collections.abc import Sequence
from types import NoneType
from typing import Any, Protocol

from fastapi.security.utils import get_authorization_scheme_param
from pydantic.fields import FieldInfo
from starlette.types import Scope

Values = list[Any]
"""The arguments and results of a request's calls, each at its place."""

_TEXTS = (int, float, bool, str, int | None, float | None, bool | None, str | None)
_CONSTANTS = (int, float, bool, str, NoneType)


class NotPrepared(Exception):
    """A route needs something that only FastAPI does."""


class Parameter(Protocol):
    """FastAPI's record of a parameter or a body. Its class `ModelField` is private."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def alias(self) -> str: ...  # noqa: D102
    @property
    def validation_alias(self) -> str | None: ...  # noqa: D102
    @property
    def field_info(self) -> FieldInfo: ...  # noqa: D102
    @property
    def config(self) -> Any: ...  # noqa: D102
    def validate(self, value: Any, /) -> tuple[Any, Sequence[Any]]: ...  # noqa: D102


class TextParameter:
    """A parameter in the path, query or headers: one text."""

    __slots__ = ("_required", "_validate", "default", "name", "place", "raw_name")

    def __init__(self, field: Parameter, place: int) -> None:
        info = field.field_info
        require(
            info.annotation in _TEXTS
            and not field.config
            and info.default_factory is None
            and not info.validate_default
            and isinstance(info.validation_alias, str | None)
            and (info.is_required() or type(info.default) in _CONSTANTS)
        )
        self.place = place
        self.name = field.validation_alias or field.alias
        self.raw_name = self.name.lower().encode("latin-1")
        self.default = None if info.is_required() else info.default
        self._required = info.is_required()
        self._validate = field.validate

    def read(self, text: str | None, values: Values) -> bool:
        """Store the validated value, if the request has one. Return whether it is valid, or may be missing."""
        if text is None:
            return not self._required
        values[self.place], errors = self._validate(text)
        return not errors


def require(known: object) -> None:
    """Raise `NotPrepared` unless the condition holds."""
    if not known:
        raise NotPrepared


def header_of(scope: Scope, name: bytes) -> str | None:
    """Return the first header with this name, decoded as Starlette does."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def bearer_token(authorization: str | None) -> str | None:
    """Return the token of an `Authorization` header, as FastAPI's `OAuth2PasswordBearer` does."""
    scheme, token = get_authorization_scheme_param(authorization)
    return token if scheme.lower() == "bearer" else None
