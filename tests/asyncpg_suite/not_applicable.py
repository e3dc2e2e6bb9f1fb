"""What of asyncpg's tests is not for a `ScopedConnection`, by reason."""

MODULES = {
    "They are about asyncpg's own pool, which hands nothing to a scope by itself.": ["test_pool"],
    "They are about connecting, and change the server's `pg_hba.conf`, certificates or standbys.": [
        "test_connect", "test_adversity", "test_scram",
    ],
    "They are about asyncpg's source, its build or its own test tools.": [
        "test__environment", "test__sourcecode", "test_subinterpreters", "test_test",
    ],
}  # fmt: skip

TESTS = {
    "A transaction is a block: it has no start, commit or rollback by hand, and no place in asyncpg's own account.": [
        "test_execute.TestExecuteMany.test_executemany_client_failure_in_transaction",
        "test_prepare.TestPrepare.test_prepare_14_explain",
        "test_prepare.TestPrepare.test_prepare_fetchmany",
        "test_transaction.TestTransaction.test_transaction_interface_errors",
        "test_transaction.TestTransaction.test_transaction_nested",
        "test_transaction.TestTransaction.test_transaction_regular",
        "test_transaction.TestTransaction.test_transaction_within_manual_transaction",
    ],
    "A transaction whose failed statement was swallowed raises `TransactionAborted` at its end, and not nothing.": [
        "test_prepare.TestPrepare.test_prepare_23_no_stmt_cache_seq",
        "test_timeout.TestTimeout.test_timeout_04",
        "test_timeout.TestTimeout.test_timeout_06",
    ],
    "A lost connection, or an answer later than `command_timeout`, is `DatabaseUnavailable` with asyncpg's error as cause.": [
        "test_execute.TestExecuteScript.test_execute_script_interrupted_by_server",
        "test_timeout.TestConnectionCommandTimeout.test_command_timeout_01",
        "test_timeout.TestTimeoutCoversPrepare.test_timeout_covers_prepare_01",
    ],
    "A change of the schema is healed where asyncpg raises, and else is `SchemaChanged` with asyncpg's error as cause.": [
        "test_cache_invalidation.TestCacheInvalidation.test_prepare_cache_invalidation_in_transaction",
        "test_cache_invalidation.TestCacheInvalidation.test_type_cache_invalidation_in_cancelled_transaction",
        "test_cache_invalidation.TestCacheInvalidation.test_type_cache_invalidation_in_transaction",
        "test_cache_invalidation.TestCacheInvalidation.test_type_cache_invalidation_on_change_attr",
        "test_cache_invalidation.TestCacheInvalidation.test_type_cache_invalidation_on_drop_type_attr",
        "test_prepare.TestPrepare.test_prepare_statement_invalid",
    ],
    "Calls at once take turns: there is no error to expect.": [
        "test_prepare.TestPrepare.test_prepare_19_concurrent_calls",
        "test_prepare.TestPrepare.test_prepare_20_concurrent_calls",
    ],
    "What was closed by hand is the pool's again, which does not show it any more.": [
        "test_execute.TestExecuteScript.test_execute_script_interrupted_close",
        "test_execute.TestExecuteScript.test_execute_script_interrupted_terminate",
        "test_prepare.TestPrepare.test_prepare_06_interrupted_close",
        "test_prepare.TestPrepare.test_prepare_07_interrupted_terminate",
        "test_prepare.TestPrepare.test_prepare_10_stmt_lru",
    ],
    "They look into asyncpg's own objects, or for their identity or name, where ours are others.": [
        "test_cursor.TestCursor.test_cursor_02",
        "test_cursor.TestIterableCursor.test_cursor_iterable_03",
        "test_cursor.TestIterableCursor.test_cursor_iterable_04",
        "test_listeners.TestLogListeners.test_log_listener_01",
        "test_listeners.TestLogListeners.test_log_listener_02",
        "test_prepare.TestPrepare.test_prepare_17_stmt_closed_lru",
    ],
    "They need an extension (hstore, citext, ltree) that the embedded server does not have.": [
        "test_codecs.TestCodecs.test_custom_codec_binary",
        "test_codecs.TestCodecs.test_custom_codec_text",
        "test_codecs.TestCodecs.test_extra_codec_alias",
        "test_codecs.TestCodecs.test_unhandled_type_fallback",
        "test_codecs.TestCodecs.test_unknown_type_text_fallback",
        "test_introspection.TestIntrospection.test_introspection_no_stmt_cache_01",
        "test_introspection.TestIntrospection.test_introspection_no_stmt_cache_02",
    ],
}
