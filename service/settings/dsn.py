"""What the DSN says beside the settings: it beats every default, and contradicts nothing that was set."""

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
"""Of libpq's variables those that stand for a setting. They fill in what neither the DSN nor a setting says, as in libpq."""
_UNMET = {"PGCHANNELBINDING": ("require",), "PGGSSENCMODE": ("require",), "PGREQUIREAUTH": ()}
"""Variables of libpq that ask for protection which asyncpg does not have, with the values that do; none are all."""


def named_in_dsn(database: DatabaseSettings, origins: Origins) -> dict[str, Any]:
    """The settings of `database` that the DSN, or a variable of libpq, gives, by name. Their origins are written down.

    Raises `ConfigurationError`, which names both sources, for a setting that says otherwise than the DSN.
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
        f"({origins.of(_DSN)}) says {value}: keep one of them"
        for name, value in dsn.options.items()
        if origins.is_set(f"database.{name}") and getattr(database, name) != value
    ]
    password = None if database.password is None else database.password.get_secret_value()
    # one in a file may be newer: it is there to be rotated
    if dsn.password and password and password != dsn.password and origins.file(_PASSWORD) is None:
        mistakes.append(
            f"{_PASSWORD} ({origins.of(_PASSWORD)}) is another than the one in {_DSN} ({origins.of(_DSN)}): keep one of them"
        )
    for variable, values in _UNMET.items():
        if (asked := environment_variable(variable)) is not None and (asked in values or not values):
            mistakes.append(f"environment variable {variable}: asyncpg cannot do what it asks for: unset it")
    if database.dsn is not None:
        mistakes += _misspelt()
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))


def _misspelt() -> Iterator[str]:
    """What is wrong with libpq's variables that asyncpg reads: else each connection would fail, and the start would not."""
    for name, choices in CHOICES.items():
        variable = f"PG{name.replace('_', '').upper()}"
        if environment_variable(variable) not in {None, *choices}:
            yield f"environment variable {variable}: must be one of {', '.join(choices)}"
    port = environment_variable("PGPORT") or "5432"
    if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= HIGHEST_PORT for part in port.split(",")):
        yield f"environment variable PGPORT: must be a number from 1 to {HIGHEST_PORT}"
