"""Credentials and tokens as clients send and receive them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from service.web.input import STORABLE, storable, storable_secret


class Credentials(BaseModel):
    """The form of OAuth2's password flow (RFC 6749, 4.3). Other fields of that flow are ignored."""

    model_config = ConfigDict(frozen=True)

    grant_type: Literal["password"] = "password"
    username: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=254),  # stripped first, as at registration
        AfterValidator(storable),
        Field(description="The e-mail address", examples=["ada@example.com"], json_schema_extra=STORABLE),
    ]
    password: Annotated[
        SecretStr,
        AfterValidator(storable_secret),
        Field(max_length=1024, examples=["correct horse battery staple"], json_schema_extra=STORABLE),
    ]


class AccessToken(BaseModel):
    """Send it as `Authorization: Bearer ...`."""

    model_config = ConfigDict(frozen=True)

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token
    expires_in: Annotated[int, Field(description="Seconds", examples=[3600])]
