"""The section `http` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.web.hosts import HostNames, WebOrigins


class HttpSettings(BaseModel):
    """What the service accepts over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    body_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long a request's body may take to arrive."""
    max_headers: Annotated[int, Field(ge=10)] = 100
    """How many headers a request may have; one with more gets a 431."""
    max_head_bytes: Annotated[int, Field(ge=1024)] = 32 * 1024
    """The largest request line with all headers; a larger one gets a 431."""
    max_url_bytes: Annotated[int, Field(ge=256)] = 8 * 1024
    """The longest URL; a longer one gets a 414."""
    head_seconds: Annotated[float, Field(gt=0)] = 20.0
    """How long a request's headers may take to arrive, from their first byte."""
    keep_alive_seconds: Annotated[int, Field(ge=1)] = 75
    """How long a connection may be idle. Keep it longer than the load balancer's own limit (60 s at AWS): else it sends a
    request on a connection that closes at that moment, and its client gets a 502."""
    allowed_hosts: HostNames = ()
    """The hosts it answers to: names, addresses, `*.example.com`, or `*` for any. None: this machine, in development and test."""
    allowed_origins: WebOrigins = ()
    """The web origins whose pages may call it (CORS), such as `https://app.example.com`."""
    hsts_seconds: Annotated[int, Field(ge=0)] = 0
    """How long browsers remember to come by HTTPS only; 0 does not say so."""
    drain_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How long answers say `Connection: close` after SIGTERM, before the server stops."""
