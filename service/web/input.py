"""Types of input that several features share. It imports no FastAPI, so that schemas can use it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

BIGINT_MAX = 2**63 - 1

ETags = list[str] | None
"""The versions of an object that a client accepts for its change; `None`: any."""


def message_of(mistake: Mapping[str, Any]) -> str:
    """Return the message of one of pydantic's errors, without its prefix for a `ValueError`."""
    message: str = mistake["msg"]
    return message.removeprefix("Value error, ")


def storable(text: str) -> str:
    """The text itself. Raises `ValueError` for what UTF-8 or PostgreSQL cannot hold."""
    if "\x00" in text:
        raise ValueError("a NUL character cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is not a character") from None
    return text


def storable_secret(secret: SecretStr) -> SecretStr:
    """The same of a secret."""
    storable(secret.get_secret_value())
    return secret


STORABLE = {"pattern": r"^[^\u0000]*$"}
"""The same in OpenAPI, where surrogates need no words: UTF-8 has none."""


Text = Annotated[str, AfterValidator(storable), Field(json_schema_extra=STORABLE)]
"""Text that PostgreSQL can store."""


_MOST_MEMBERS = 100


class Input(BaseModel):
    """What a client sends: the members that are named, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_few_members(cls, body: object) -> object:
        """Naming each of a hundred thousand that do not belong would stop the service for more than a second."""
        if isinstance(body, dict) and len(body) > _MOST_MEMBERS:
            raise ValueError(f"has more than {_MOST_MEMBERS} members, and knows {', '.join(cls.model_fields)}")
        return body
