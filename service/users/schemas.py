"""What a user looks like from outside."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, EmailStr, Field, SecretStr, field_validator

from service.items.schemas import Item
from service.types import storable


class NewUser(BaseModel):
    """Someone who registers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Annotated[EmailStr, Field(max_length=254, examples=["ada@example.com"])]
    password: Annotated[SecretStr, Field(min_length=1, max_length=1024, examples=["correct horse battery staple"])]

    @field_validator("email", mode="before")
    @classmethod
    def _bare(cls, email: object) -> object:
        if isinstance(email, str) and "<" in email:
            raise ValueError("an address alone, without a name")
        return email

    @field_validator("password")
    @classmethod
    def _storable(cls, password: SecretStr) -> SecretStr:
        storable(password.get_secret_value())
        return password


class User(BaseModel):
    """A user with its items. The password never leaves the service."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[int, Field(examples=[1])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    is_active: Annotated[bool, Field(examples=[True])]
    items: list[Item]
