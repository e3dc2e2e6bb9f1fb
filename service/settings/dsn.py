"""Settings that the DSN names: they override defaults, and must agree with settings from other sources."""

from collections.abc import Iterator
from typing import Any

from service.database.dsn import HIGHEST_PORT, Dsn, parse
from service.database.dsn_parameters import CHOICES
from service.database.environment import environment_variable
from service.settings.sections import DatabaseSettings
from service.settings.sources import ConfigurationError, Origins

_DSN = "database.dsn"
_PASSWORD = "database.password"  # noqa: S105 - the name of a key
_VARIABLES = {"sslmode": "PGSSLMODE", "application_name": "PGAPPNAME"}
"""libpq's variables for settings. As in libpq, they apply if the DSN and the settings have no value."""
_UNMET = {"PGCHANNELBINDING": ("require",), "PGGSSENCMODE": ("require",), "PGREQUIREAUTH": ()}
"""libpq's variables that require a protection that asyncpg lacks, with the values that require it; no value is all values."""


def named_in_dsn(database: DatabaseSettings, origins: Origins) -> dict[str, Any]:
    """Return the settings of `database` that the DSN or a variable of libpq names, and record their origins.

    Raises `ConfigurationError` with both sources if a setting differs from the DSN.
    """
    dsn = parse(None if database.dsn is None else database.dsn.get_secret_value())
    _refuse_contradictions(dsn, database, origins)
    named = dict(dsn.options)
    for name in named:
        origins.record(f"database.{name}", f"{_DSN}, {origins.of(_DSN)}", None)
    for name, variable in _VARIABLES.items():
        value = environment_variable(variable)
        if value and name not in named and not origins.is_set(f"database.{name}"):
            named[name] = value
            origins.record(f"database.{name}", f"environment variable {variable}", None)
    return named


def _refuse_contradictions(dsn: Dsn, database: DatabaseSettings, origins: Origins) -> None:
    mistakes = [
        f"database.{name} ({origins.of(f'database.{name}')}) is {getattr(database, name)}, and {_DSN} "
        f"({origins.of(_DSN)}) has {value}; keep one of them"
        for name, value in dsn.options.items()
        if origins.is_set(f"database.{name}") and getattr(database, name) != value
    ]
    password = None if database.password is None else database.password.get_secret_value()
    # a password in a secret file may be newer, after a rotation
    if dsn.password and password and password != dsn.password and origins.file(_PASSWORD) is None:
        mistakes.append(
            f"{_PASSWORD} ({origins.of(_PASSWORD)}) is not the password in {_DSN} ({origins.of(_DSN)}); keep one of them"
        )
    for variable, values in _UNMET.items():
        if (asked := environment_variable(variable)) is not None and (asked in values or not values):
            mistakes.append(f"environment variable {variable}: asyncpg does not support it; unset it")
    if database.dsn is not None:
        mistakes += _misspelt()
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))


def _misspelt() -> Iterator[str]:
    """Yield the mistakes in libpq's variables that asyncpg reads. Otherwise the start would succeed, and each connection fail."""
    for name, choices in CHOICES.items():
        variable = f"PG{name.replace('_', '').upper()}"
        if environment_variable(variable) not in {None, *choices}:
            yield f"environment variable {variable}: must be one of {', '.join(choices)}"
    port = environment_variable("PGPORT") or "5432"
    if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= HIGHEST_PORT for part in port.split(",")):
        yield f"environment variable PGPORT: must be a number from 1 to {HIGHEST_PORT}"
