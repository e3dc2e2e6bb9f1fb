"""What a user looks like from outside."""

from dataclasses import dataclass
from typing import Annotated

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from pydantic import AfterValidator, BeforeValidator, EmailStr, Field, SecretStr, StrictBool

from service.items.schemas import Item
from service.types import STORABLE, Input, storable

_RESERVED = rf"[.@]({'|'.join(SPECIAL_USE_DOMAIN_NAMES)})$"
"""What no address ends with (RFC 6761)."""


def _bare(email: object) -> object:
    if isinstance(email, str) and "<" in email:
        raise ValueError("an address alone, without a name")
    return email


def _storable(password: SecretStr) -> SecretStr:
    storable(password.get_secret_value())
    return password


Email = Annotated[
    EmailStr,
    BeforeValidator(_bare),
    Field(max_length=254, examples=["ada@example.com"], json_schema_extra={"not": {"pattern": _RESERVED}}),
]
Password = Annotated[
    SecretStr,
    AfterValidator(_storable),
    Field(min_length=1, max_length=1024, examples=["correct horse battery staple"], json_schema_extra=STORABLE),
]


class NewUser(Input):
    """Someone who registers."""

    email: Email
    password: Password


class ChangedUser(Input):
    """What is to be different about a user; what is left out, or null, stays as it is."""

    email: Email | None = None
    is_active: Annotated[
        StrictBool | None, Field(description="An admin's to set. An inactive user cannot sign in.", examples=[True])
    ] = None


class ChangedPassword(Input):
    """A password in the place of another."""

    current_password: Annotated[Password | None, Field(description="Only an admin may leave it out.")] = None
    password: Password


@dataclass(slots=True)
class User:
    """A user with its items. The password never leaves the service."""

    id: Annotated[int, Field(examples=[1])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    is_active: Annotated[bool, Field(examples=[True])]
    items: Annotated[list[Item], Field(description="The first 500; all of them are at `/users/{user_id}/items/`")]


@dataclass(slots=True)
class Me(User):
    """The user who signed in, and what that user may do."""

    is_admin: Annotated[bool, Field(description="May read and change everything", examples=[False])]
