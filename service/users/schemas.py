"""What a user looks like from outside."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field, SecretStr

from service.items.schemas import Item
from service.types import storable


def _bare(email: object) -> object:
    if isinstance(email, str) and "<" in email:
        raise ValueError("an address alone, without a name")
    return email


def _storable(password: SecretStr) -> SecretStr:
    storable(password.get_secret_value())
    return password


Email = Annotated[EmailStr, BeforeValidator(_bare), Field(max_length=254, examples=["ada@example.com"])]
Password = Annotated[
    SecretStr,
    AfterValidator(_storable),
    Field(min_length=1, max_length=1024, examples=["correct horse battery staple"]),
]


class NewUser(BaseModel):
    """Someone who registers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email
    password: Password


class ChangedUser(BaseModel):
    """What is to be different about a user; what is left out, or null, stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email | None = None
    is_active: Annotated[
        bool | None, Field(description="An admin's to set. An inactive user cannot sign in.", examples=[True])
    ] = None


class ChangedPassword(BaseModel):
    """A password in the place of another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    current_password: Annotated[Password | None, Field(description="Only an admin may leave it out.")] = None
    password: Password


@dataclass(frozen=True, slots=True)
class User:
    """A user with its items. The password never leaves the service."""

    id: Annotated[int, Field(examples=[1])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    is_active: Annotated[bool, Field(examples=[True])]
    items: list[Item]
