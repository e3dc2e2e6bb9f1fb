"""The whole object graph, on one page.

The graph is synchronous: nothing depends on `pool`, which only opens and closes what `database` is. So every other
provider returns its object at once, in a request, a job, a script or a test.

A class with a section of the settings for itself takes the section whole. A new feature is added at the two places marked
`new feature`: its imports, and its section.
"""

from dependency_injector import containers, providers

from service.auth.caller_cache import CallerCache
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

# new feature: its imports go above, in alphabetical order


class Container(containers.DeclarativeContainer):
    """What the service is made of. Routers are wired by `create_app`; other modules that use `@inject` are named here."""

    instance_type = WiredContainer
    wiring_config = containers.WiringConfiguration(modules=[])

    # Settings
    settings = providers.Singleton(Settings)

    # Database
    connection_init = providers.Object(())  # one async function, or several, run on each new connection: codecs
    database_password: providers.Object[Secret | None] = providers.Object(None)  # replaces the setting: IAM, Vault
    database = providers.Singleton(Database, settings.provided.database, init=connection_init)
    pool = providers.Resource(open_database, database, settings, database_password)
    connection = providers.Singleton(ScopedConnection, database)

    # Sign-in
    passwords = providers.Singleton(PasswordHasher, settings.provided.passwords)
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
    callers = providers.Singleton(CallerCache, account_repository, settings.provided.auth)
    token_authentication = providers.Singleton(TokenAuthentication, callers, tokens)
    open_authentication = providers.Singleton(OpenAuthentication, callers, tokens)
    auth_mode = providers.Singleton(str, settings.provided.auth_mode)  # a Singleton: reading it each time takes 5 us
    authentication = providers.Selector(auth_mode, token=token_authentication, open=open_authentication)
    rate_limits = providers.Singleton(RateLimitStorage, connection)
    attempts = providers.Singleton(AttemptLimiter, rate_limits, settings.provided.limits)

    # Idempotency
    idempotency = providers.Singleton(
        Idempotency, connection, settings.provided.idempotency, secrets=settings.provided.auth.keys
    )

    # Users
    user_repository = providers.Factory(UserRepository, connection)
    user_service = providers.Factory(UserService, user_repository, connection, passwords, idempotency, callers)

    # Items
    item_repository = providers.Factory(ItemRepository, connection)
    item_service = providers.Factory(ItemService, item_repository, idempotency)
    bulk_item_repository = providers.Factory(BulkItemRepository, connection)
    bulk_slots = providers.Singleton(BulkSlots, settings.provided.bulk, slots=settings.provided.bulk_slots)
    item_imports = providers.Factory(
        ItemImports, bulk_item_repository, connection, bulk_slots, idempotency, settings.provided.bulk
    )
    item_exports = providers.Factory(ItemExports, bulk_item_repository, connection, bulk_slots)

    # new feature: its section goes here

    # Operations
    drain = providers.Singleton(Drain, settings.provided.http)
    health_service = providers.Factory(HealthService, database, connection, drain)
    slow_countdown = providers.Singleton(Countdown, settings.provided.diagnostics)
