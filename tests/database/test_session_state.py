"""Which statements change the session, recognized by their text."""

import pytest

from service.database.session_state import Effects, effects_of


@pytest.mark.parametrize(
    "query",
    [
        "SET search_path = x", "set session work_mem = 1", "RESET ALL", "DISCARD TEMP", "LISTEN a", "UNLISTEN *", "LOAD 'x'",
        "PREPARE p AS SELECT 1", "DEALLOCATE p", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CALL p()", "START TRANSACTION",
        "SELECT 1; SET x = 1", "-- a comment\nSET x = 1", "/* a */ /* b */ SET x = 1", "/* a /* nested */ */ SET x = 1",
        "/* it's /* nested */ */ SET x = 1 --'",
        "SELECT '--'; SET x = 1", "SELECT E'\\''; SET x = 1 --'", "SELECT $$;$$; SET x = 1", "SELECT 'a\\'; SET x = 1",
        "CREATE TEMP TABLE t ()", "create local temporary table t ()", "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
        "CREATE TABLE pg_temp.t ()", "SELECT 1 INTO TEMP t", "WITH a AS (SELECT pg_advisory_lock(1)) SELECT 1",
        "SELECT pg_try_advisory_lock(1)", "SELECT set_config('a', 'b', false)", "SELECT set_config('a', $1, $2)",
        "SELECT set_config('a', 'b', false), coalesce(NULL, true)",
        "SELECT set_config('a', 'b', 0::bool), (1, true)",
        "SELECT 1 AS \"it's\"; SET x = 1",
        'SELECT 1 AS "--"; SET x = 1',
        "SELECT \"set_config\"('a', 'b', false)",
        "UPDATE pg_settings SET setting = '1' WHERE name = 'x'",
        "SELECT set_config('a', 'b', true), set_config('c', 'd', false)", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    ],
)  # fmt: skip
def test_what_changes_the_session_is_seen(query: str) -> None:
    """At any place in the text, after any other text."""
    assert effects_of(query) & Effects.CHANGES_SESSION


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1", "UPDATE t SET a = 1", "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
        "ALTER TABLE t ALTER a SET NOT NULL", "SELECT ';SET x = 1'", "SELECT '; SET x = ''1'''", "-- ;\n-- SET x = 1\nSELECT 1",
        "SELECT $body$; SET x = 1$body$", "SET LOCAL x = 1", "SET TRANSACTION READ ONLY", "SET CONSTRAINTS ALL DEFERRED",
        "SELECT set_config('a', $1, true)", "SELECT pg_advisory_xact_lock(1)", "SELECT settings FROM offset_table",
        "SELECT temp FROM weather", "DELETE FROM reset", "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT $1; SELECT $2",
        "SELECT /* a /* ; SET x = 1 */ ; SET x = 1 */ 1", "SELECT 1 /* ; SET x = 1",
        "CREATE FUNCTION f() RETURNS int LANGUAGE SQL BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
        "CREATE PROCEDURE p() LANGUAGE SQL BEGIN ATOMIC END",
    ],
)  # fmt: skip
def test_what_does_not_change_it_costs_no_reset(query: str) -> None:
    """UPDATE ... SET, transaction-local settings and words in literals leave nothing behind."""
    assert not effects_of(query)


@pytest.mark.parametrize(
    "query",
    [
        "BEGIN", "begin isolation level serializable", "START TRANSACTION", "COMMIT", "END", "ROLLBACK", "ABORT WORK",
        "PREPARE TRANSACTION 'x'", "SELECT 1; BEGIN", " ;; BEGIN", "-- a\nBEGIN", "/* a /* b */ c */ COMMIT",
        "SELECT ';'; COMMIT", "BEGIN; SELECT 1", "BEGIN; COMMIT AND CHAIN", "COMMIT; BEGIN", "BEGIN; COMMIT; END",
        "BEGIN; BEGIN; COMMIT",
        "ROLLBACK AND CHAIN", "BEGIN; SAVEPOINT a; ROLLBACK TO a",
    ],
)  # fmt: skip
def test_a_transaction_begun_or_ended_by_hand_is_seen(query: str) -> None:
    """Wherever it stands in the text."""
    assert effects_of(query) & Effects.CONTROL


@pytest.mark.parametrize(
    "query",
    [
        "BEGIN; SELECT 1; COMMIT", "START TRANSACTION; SAVEPOINT a; ROLLBACK TO a; RELEASE a; ROLLBACK;",
        "BEGIN; COMMIT; BEGIN; END", "BEGIN; SELECT 1; COMMIT AND NO CHAIN", "BEGIN; COMMIT AND CHAIN; ROLLBACK",
    ],
)  # fmt: skip
def test_a_script_with_a_whole_transaction_is_seen(query: str) -> None:
    """It leaves none open; where a statement in it fails, the connection is cleaned."""
    assert effects_of(query) == Effects.CHANGES_SESSION | Effects.WHOLE_TRANSACTION


@pytest.mark.parametrize(
    "query", ["SAVEPOINT a", "RELEASE a", "RELEASE SAVEPOINT a", "ROLLBACK TO a", "rollback work to a"]
)
def test_a_savepoint_by_hand_is_seen(query: str) -> None:
    """It needs a transaction around it, and does not end it."""
    assert effects_of(query) & (Effects.SAVEPOINT | Effects.CONTROL) == Effects.SAVEPOINT


@pytest.mark.parametrize(
    "query",
    ["COMMIT PREPARED 'x'", "ROLLBACK PREPARED 'x'", "DO $$ BEGIN COMMIT; END $$", "CALL p()", "PREPARE p AS SELECT 1"],
)
def test_what_ends_no_transaction_of_the_session_is_not_refused(query: str) -> None:
    """The second phase of a two-phase commit, and procedures, run outside any block."""
    assert effects_of(query) == Effects.CHANGES_SESSION
