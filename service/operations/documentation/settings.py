"""The section `documentation` of the settings."""

from pydantic import BaseModel, ConfigDict


class DocumentationSettings(BaseModel):
    """The page at `/docs`, and the OpenAPI document that it shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool | None = None
    """`None`: only in development and test. The page asks for passwords, and runs a script of a third party."""
