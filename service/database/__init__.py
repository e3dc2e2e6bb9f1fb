"""Scoped connections on an asyncpg pool, for any asyncio program. The package imports nothing else of `service`.

In the order of a statement's way:
    connection, copy, cursor, prepared: the methods of `ScopedConnection`, named as asyncpg's
    database: opens and closes the pool, and finds the executor of the running code
    scope, or block with transaction and session in it: the executor, which leases a connection or keeps one
    pool, wait_queue, background_tasks: idle connections, waiting for one, housekeeping
    lease, pooled_connection, driver_methods: the call to asyncpg, and the state of its connection
    session_state, stale_statements, stale_errors, driver_errors, cancel: effects and failures of the statement
    connect, connection_init, dsn, dsn_parameters, tls: opening connections
    embedded, postgres: the embedded server for development and tests
"""

from service.database.connection import ScopedConnection
from service.database.cursor import Cursor, CursorFactory, CursorIterator
from service.database.database import Database
from service.database.embedded import EmbeddedServer
from service.database.errors import (
    CommitOutcomeUnknown,
    DatabaseError,
    DatabaseUnavailable,
    InvalidDsn,
    NoActiveScope,
    PoolNotOpen,
    PoolTimeout,
    SchemaChanged,
    ScopeClosed,
    TransactionAborted,
    TransactionClosed,
    WrongEventLoop,
)
from service.database.options import DatabaseOptions
from service.database.postgres import EmbeddedServerError
from service.database.prepared import PreparedStatement
from service.database.scope import Scope
from service.database.session import Session
from service.database.stats import Stats, Totals
from service.database.transaction import Transaction
from service.database.transaction_modes import Isolation

__all__ = [
    "CommitOutcomeUnknown",
    "Cursor",
    "CursorFactory",
    "CursorIterator",
    "Database",
    "DatabaseError",
    "DatabaseOptions",
    "DatabaseUnavailable",
    "EmbeddedServer",
    "EmbeddedServerError",
    "InvalidDsn",
    "Isolation",
    "NoActiveScope",
    "PoolNotOpen",
    "PoolTimeout",
    "PreparedStatement",
    "SchemaChanged",
    "Scope",
    "ScopeClosed",
    "ScopedConnection",
    "Session",
    "Stats",
    "Totals",
    "Transaction",
    "TransactionAborted",
    "TransactionClosed",
    "WrongEventLoop",
]
