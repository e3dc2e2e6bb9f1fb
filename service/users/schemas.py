"""Users as clients send and receive them."""

import re
from dataclasses import dataclass
from typing import Annotated

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from pydantic import AfterValidator, BeforeValidator, EmailStr, Field, SecretStr, StrictBool

from service.items.schemas import Item
from service.web.input import STORABLE, Input, storable_secret

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Control characters (RFC 8265, 4.2.2). A line break or a tab in a password is a mistake in copying."""
_RESERVED = rf"[.@]({'|'.join(SPECIAL_USE_DOMAIN_NAMES)})$"
"""Reserved domains, which no address has (RFC 6761)."""


def _bare(email: object) -> object:
    if isinstance(email, str) and "<" in email:
        raise ValueError("must be an address only, without a name")
    return email


def _without_controls(password: SecretStr) -> SecretStr:
    if _CONTROL.search(password.get_secret_value()):
        raise ValueError("must not contain control characters")
    return password


Email = Annotated[
    EmailStr,
    BeforeValidator(_bare),
    Field(max_length=254, examples=["ada@example.com"], json_schema_extra={"not": {"pattern": _RESERVED}}),
]
Password = Annotated[
    SecretStr,
    AfterValidator(storable_secret),
    Field(min_length=1, max_length=1024, examples=["correct horse battery staple"], json_schema_extra=STORABLE),
]
NewPassword = Annotated[
    Password,
    AfterValidator(_without_controls),
    Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}),
]


class NewUser(Input):
    """A new user."""

    email: Email
    password: NewPassword


class ChangedUser(Input):
    """Fields to change. A field that is missing or null stays as it is."""

    email: Email | None = None
    is_active: Annotated[
        StrictBool | None, Field(description="Only admins may set it. An inactive user cannot sign in", examples=[True])
    ] = None


class ChangedPassword(Input):
    """A new password."""

    current_password: Annotated[Password | None, Field(description="Only admins may leave it out")] = None
    password: NewPassword


@dataclass(slots=True)
class User:
    """A user and its items."""

    id: Annotated[int, Field(examples=[1])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    is_active: Annotated[bool, Field(examples=[True])]
    items: Annotated[list[Item], Field(description="The first 500 items; `/users/{user_id}/items/` lists all")]


@dataclass(slots=True)
class Me(User):
    """The user who signed in."""

    is_admin: Annotated[bool, Field(description="May read and change everything", examples=[False])]
