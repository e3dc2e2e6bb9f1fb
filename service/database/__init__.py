"""Scoped connections on an asyncpg pool: usable under any asyncio program, and independent of the rest of the service."""

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
from service.database.modes import Isolation
from service.database.options import DatabaseOptions
from service.database.postgres import EmbeddedServerError
from service.database.prepared import PreparedStatement
from service.database.scope import Scope
from service.database.session import Session
from service.database.stats import Stats, Totals
from service.database.transaction import Transaction

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
