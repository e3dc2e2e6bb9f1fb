"""The contenders, and the kinds of work that each takes part in."""

from dataclasses import replace

from benchmarks.harness.contender import BATCHED, IN_PRODUCTION, POOL, REQUEST, STATEMENT, Contender


def _peer(name: str, title: str, holds: str, *packages: str) -> Contender:
    return Contender(name=name, title=title, app=f"benchmarks.http.apps.{name}:app", holds=holds, packages=packages)


def _limit(name: str, title: str, module: str = "", **variables: str) -> Contender:
    app = f"benchmarks.http.apps.{module or name}:app"
    return Contender(name=name, title=title, app=app, holds="", is_limit=True, variables=variables)


_OURS = {
    "POOLKEEPER_DATABASE__MIN_SIZE": str(POOL),
    "POOLKEEPER_DATABASE__MAX_SIZE": str(POOL),
    "POOLKEEPER_DATABASE__MIGRATE_ON_START": "false",
    "POOLKEEPER_DIAGNOSTICS__ENABLED": "false",
}
OURS = Contender(
    name="ours",
    title="Poolkeeper, mode `open`",
    app="benchmarks.http.ours.main:app",
    holds=STATEMENT,
    http=BATCHED,
    variables={**_OURS, "POOLKEEPER_ENV": "development"},
)
OURS_WITH_TOKENS = Contender(
    name="ours_token",
    title="Poolkeeper, mode `token`",
    app="benchmarks.http.ours.main:app",
    holds=STATEMENT,
    http=BATCHED,
    variables={
        **_OURS,
        **IN_PRODUCTION,
    },
    signs_in=True,
)
OURS_REMEMBERING = replace(
    OURS_WITH_TOKENS,
    name="ours_remembering",
    title="Poolkeeper, mode `token`, users remembered",
    variables={**OURS_WITH_TOKENS.variables, "POOLKEEPER_AUTH__REMEMBER_SECONDS": "1"},
)
ALL_OF_OURS = (OURS, OURS_WITH_TOKENS, OURS_REMEMBERING)

CONTENDERS = (
    *ALL_OF_OURS,
    _peer("global_pool", "global pool, `Depends(get_pool)`", STATEMENT),
    _peer("app_state", "`Database` class on `app.state`", STATEMENT),
    _peer("yield_dependency", "connection by yield dependency", REQUEST),
    _peer("context_variable", "ContextVar connection", REQUEST),
    _peer("dependency_injector", "dependency-injector, `Depends(Provide[...])`", STATEMENT, "dependency-injector"),
    _peer("dishka_request", "dishka, asyncpg", REQUEST, "dishka"),
    _peer("sqlalchemy_session", "SQLAlchemy async session, ORM", REQUEST, "sqlalchemy"),
    _peer("peewee_threads", "Peewee in the threadpool", REQUEST, "peewee", "psycopg"),
    _peer("litestar_asyncpg", "Litestar, asyncpg", STATEMENT, "litestar"),
    _peer("litestar_alchemy", "Litestar, advanced-alchemy", REQUEST, "advanced-alchemy"),
    _limit("bare_asgi", "bare ASGI, asyncpg"),
    _limit("bare_asgi_held", "bare ASGI, connections never returned", module="bare_asgi", HELD="1"),
    _limit("no_database", "FastAPI, no database"),
    _limit("pgbench", "pgbench, no HTTP"),
)
"""In the order of the tables. pgbench is not an application: it sends the statements directly."""

ONE = "one"
LIST = "list"
CREATE = "create"
MIX = "mix"
THREE = "three"
DISTANT = "distant"
AWAKE = "awake"
SLEEPERS = "sleepers"
PEAK = "peak"
OVERLOAD = "overload"

TITLES = {
    ONE: "One row by id",
    LIST: "A list of 100 rows",
    CREATE: "A create in a transaction",
    MIX: "Nine reads to one create",
    THREE: "A request of three statements",
    DISTANT: "One row by id, over a network of 2 ms",
    AWAKE: "One row by id, a pool of 5",
    SLEEPERS: "The same with 200 sleeping requests",
    PEAK: "One row by id, at the peak rate",
    OVERLOAD: "The same with ten times as many connections",
}
"""The kinds of work."""

_CANNOT = {
    "pgbench": {MIX, THREE, DISTANT, SLEEPERS},
    "no_database": {THREE, DISTANT, SLEEPERS},
    "bare_asgi": {SLEEPERS},
    "bare_asgi_held": {SLEEPERS},
}
_OVERLOADED = {
    "ours", "ours_token", "ours_remembering", "global_pool", "yield_dependency", "dependency_injector",
    "sqlalchemy_session", "litestar_asyncpg", "bare_asgi", "no_database",
}  # fmt: skip

_OURS_ALL = frozenset(ours.name for ours in ALL_OF_OURS)
QUICK = {
    ONE: _OURS_ALL | {
        "global_pool", "yield_dependency", "dependency_injector", "sqlalchemy_session", "litestar_asyncpg", "bare_asgi",
    },
    LIST: _OURS_ALL | {"global_pool"},
    CREATE: _OURS_ALL | {"global_pool"},
    THREE: _OURS_ALL | {"global_pool"},
    DISTANT: _OURS_ALL | {"global_pool"},
    SLEEPERS: _OURS_ALL,
    OVERLOAD: _OURS_ALL,
}  # fmt: skip
"""The contenders that the targets need, by kind of work."""


def asked(work: str, *, quick: bool) -> list[Contender]:
    """Return the contenders for a kind of work."""
    if quick:
        return [contender for contender in CONTENDERS if contender.name in QUICK.get(work, ())]
    if work == OVERLOAD:
        return [contender for contender in CONTENDERS if contender.name in _OVERLOADED]
    return [contender for contender in CONTENDERS if work not in _CANNOT.get(contender.name, ())]
