"""The whole object graph, on one page.

The graph is synchronous: nothing depends on `pool`, which only opens and closes what `database` is. So every other
provider gives its object at once, in a request, a job, a script or a test.
"""

from dependency_injector import containers, providers

from service.auth.callers import Callers
from service.auth.passwords import PasswordHasher
from service.auth.ratelimit.limiter import AttemptLimiter
from service.auth.ratelimit.storage import RateLimitStorage
from service.auth.repository import AccountRepository
from service.auth.service import AuthService, OpenAuthentication, TokenAuthentication
from service.auth.tokens import Tokens
from service.database import Database, ScopedConnection
from service.database.connect import Secret
from service.idempotency.keys import Idempotency
from service.injection import WiredContainer
from service.items.bulk.exports import ItemExports
from service.items.bulk.imports import ItemImports
from service.items.bulk.repository import BulkItemRepository
from service.items.bulk.slots import BulkSlots
from service.items.repository import ItemRepository
from service.items.service import ItemService
from service.operations.diagnostics.countdown import Countdown
from service.operations.health.service import HealthService
from service.settings import Settings
from service.startup import open_database
from service.users.repository import UserRepository
from service.users.service import UserService
from service.web.drain import Drain


class Container(containers.DeclarativeContainer):
    """What the service is made of. Routers are wired by `create_app`; other modules that use `@inject` are named here."""

    instance_type = WiredContainer
    wiring_config = containers.WiringConfiguration(modules=[])

    settings = providers.Singleton(Settings)

    connection_init = providers.Object(())  # an async function, or several, for each new connection: codecs
    database_password: providers.Object[Secret | None] = providers.Object(
        None
    )  # a function, async or not, in the place of the setting: IAM, Vault
    database = providers.Singleton(Database, settings.provided.database, init=connection_init)
    pool = providers.Resource(open_database, database, settings, database_password)
    connection = providers.Singleton(ScopedConnection, database)

    passwords = providers.Singleton(
        PasswordHasher,
        memory_kib=settings.provided.passwords.memory_kib,
        time_cost=settings.provided.passwords.time_cost,
        threads=settings.provided.passwords.threads,
        min_length=settings.provided.passwords.min_length,
        max_waiting=settings.provided.passwords.max_waiting,
    )
    tokens = providers.Singleton(
        Tokens,
        key=settings.provided.auth.key,
        previous_key=settings.provided.auth.previous_key,
        issuer=settings.provided.auth.issuer,
        audience=settings.provided.auth.audience,
        seconds=settings.provided.auth.token_seconds,
    )
    account_repository = providers.Factory(AccountRepository, connection)
    auth_service = providers.Factory(AuthService, account_repository, passwords, tokens)
    callers = providers.Singleton(Callers, account_repository, settings.provided.auth.remember_seconds)
    token_authentication = providers.Singleton(TokenAuthentication, callers, tokens)
    open_authentication = providers.Singleton(OpenAuthentication, callers, tokens)
    auth_mode = providers.Singleton(str, settings.provided.auth_mode)  # read once: five microseconds each time else
    authentication = providers.Selector(auth_mode, token=token_authentication, open=open_authentication)

    rate_limits = providers.Singleton(RateLimitStorage, connection)
    attempts = providers.Singleton(
        AttemptLimiter,
        rate_limits,
        enabled=settings.provided.limits.enabled,
        limits=settings.provided.limits.of_attempts,
    )
    idempotency = providers.Singleton(
        Idempotency,
        connection,
        keys=settings.provided.fingerprint_keys,
        ttl_seconds=settings.provided.idempotency.ttl_seconds,
    )

    user_repository = providers.Factory(UserRepository, connection)
    user_service = providers.Factory(UserService, user_repository, connection, passwords, idempotency, callers)

    item_repository = providers.Factory(ItemRepository, connection)
    item_service = providers.Factory(ItemService, item_repository, idempotency)

    bulk_slots = providers.Singleton(BulkSlots, settings.provided.bulk_slots, settings.provided.bulk.max_seconds)
    bulk_item_repository = providers.Factory(BulkItemRepository, connection)
    item_imports = providers.Factory(
        ItemImports, bulk_item_repository, connection, bulk_slots, idempotency, settings.provided.bulk.max_bytes
    )
    item_exports = providers.Factory(ItemExports, bulk_item_repository, connection, bulk_slots)

    drain = providers.Singleton(Drain, settings.provided.http.drain_seconds)
    health_service = providers.Factory(HealthService, database, connection, drain)
    slow_countdown = providers.Singleton(Countdown, settings.provided.diagnostics.slow_seconds)
