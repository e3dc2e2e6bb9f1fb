"""What a user looks like from outside."""

import re
from dataclasses import dataclass
from typing import Annotated

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from pydantic import AfterValidator, BeforeValidator, EmailStr, Field, SecretStr, StrictBool

from service.items.schemas import Item
from service.web.input import STORABLE, Input, storable_secret

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""What no keyboard types (RFC 8265, 4.2.2): a line break or a tab comes from a mistake in copying."""
_RESERVED = rf"[.@]({'|'.join(SPECIAL_USE_DOMAIN_NAMES)})$"
"""What no address ends with (RFC 6761)."""


def _bare(email: object) -> object:
    if isinstance(email, str) and "<" in email:
        raise ValueError("an address alone, without a name")
    return email


def _without_controls(password: SecretStr) -> SecretStr:
    if _CONTROL.search(password.get_secret_value()):
        raise ValueError("a control character does not belong in a password")
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
    """Someone who registers."""

    email: Email
    password: NewPassword


class ChangedUser(Input):
    """What is to be different about a user; what is left out, or null, stays as it is."""

    email: Email | None = None
    is_active: Annotated[
        StrictBool | None, Field(description="An admin's to set. An inactive user cannot sign in.", examples=[True])
    ] = None


class ChangedPassword(Input):
    """A password in the place of another."""

    current_password: Annotated[Password | None, Field(description="Only an admin may leave it out.")] = None
    password: NewPassword


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
