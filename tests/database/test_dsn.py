"""A DSN is read by libpq's rules, with any number of hosts, on every Python; and what cannot be meant is refused."""

import re
import urllib.parse
from typing import Any

import pytest

from service.database import Database, DatabaseOptions, InvalidDsn, ScopedConnection
from service.database.dsn import Dsn, Host, parse


@pytest.fixture
def one_host_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """`urlsplit` as some patch releases of Python have it, only stricter: it takes no netloc of several hosts at all."""
    split = urllib.parse.urlsplit

    def refuse(url: str, *arguments: Any, **options: Any) -> Any:
        if "," in url:
            raise ValueError("Invalid IPv6 URL")
        return split(url, *arguments, **options)

    monkeypatch.setattr("urllib.parse.urlsplit", refuse)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://u:p@a:1,[::1]:3/d", (Host("a", 1), Host("::1", 3))),
        ("postgresql://u:p@[::1]:3,a/d", (Host("::1", 3), Host("a"))),
        ("postgresql://u:p@[::1],[fe80::1%25eth0]:2/d", (Host("::1"), Host("fe80::1%eth0", 2))),
        ("postgresql://u:p@a,b/d?port=1,2", (Host("a", 1), Host("b", 2))),
        ("postgresql://u:p@a,b/d?port=7", (Host("a", 7), Host("b", 7))),
        ("postgresql://u:p@/d?host=a,[::1]:3,::1", (Host("a"), Host("::1", 3), Host("::1"))),
        ("postgresql://u:p@%2Frun%2Fpostgresql,a:1/d", (Host("/run/postgresql"), Host("a", 1))),
        ("postgresql://u:p@/d?host=/cloudsql/project:region:instance", (Host("/cloudsql/project:region:instance"),)),
        ("postgres://u:p@example.com/d", (Host("example.com"),)),
        ("POSTGRESQL://u:p@example.com/d\n", (Host("example.com"),)),
    ],
)
@pytest.mark.usefixtures("one_host_urls")
def test_hosts_of_any_kind_stand_side_by_side(text: str, hosts: tuple[Host, ...]) -> None:
    """Names, addresses of both kinds and sockets, with a port for each or one for all."""
    dsn = parse(text)
    assert (dsn.user, dsn.password, dsn.database, dsn.hosts) == ("u", "p", "d", hosts)


@pytest.mark.usefixtures("one_host_urls")
async def test_a_name_and_an_ipv6_address_are_tried_in_turn(clone_dsn: str) -> None:
    """On each Python: no server listens at the first two, and the third is a socket."""
    _, _, folder = clone_dsn.partition("?host=")
    hosts = f"localhost:1,[::1]:1,{urllib.parse.quote(folder, safe='')}"
    database = Database(DatabaseOptions(min_size=1, max_size=1))
    await database.open(clone_dsn.partition("?")[0].replace("@", f"@{hosts}"))
    async with database.scope("test"):
        assert await ScopedConnection(database).fetchval("SELECT 1") == 1
    await database.close()


def test_nothing_is_made_up() -> None:
    """What a DSN leaves open is left to the PG* variables and to asyncpg."""
    assert parse(None) == parse("postgresql://") == Dsn()
    assert parse("postgresql:///d?host=/run/postgresql") == Dsn(hosts=(Host("/run/postgresql"),), database="d")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgresql://u:hunter2@a:1,b:/x/d", "name of the database"),
        ("postgresql://u:hunter2@a:1,b:x/d", "an invalid host or port"),
        ("postgresql://u:hunter2@a,,b/d", "has no host"),
        ("postgresql://u:hunter2@a,b,c/d?port=1,2", "2 ports for 3 hosts"),
        ("postgresql://u:hunter2@::1/d", "write an IPv6 address in brackets"),
        ("postgresql://u:hunter2@[::g]/d", "an invalid host or port"),
        ("postgresql://u:hunter2@a:0/d", "an invalid host or port"),
    ],
)
def test_hosts_that_cannot_be_are_refused(text: str, message: str) -> None:
    """Without the secret."""
    with pytest.raises(InvalidDsn, match=message) as caught:
        parse(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("postgresql://u:p%40ss%2F%23%3F%25@h/d", "p@ss/#?%"),
        ("postgresql://u:p:q@h/d", "p:q"),
        ("postgresql://u:p%3Aq@h/d", "p:q"),
        ("postgresql://u:p+q@h/d", "p+q"),
        ("postgresql://u:[p]{q}<r>&=;$!*'()~@h/d", "[p]{q}<r>&=;$!*'()~"),
        ("postgresql://u:gr%C3%BC%C3%9Fe@h/d", "grüße"),
        ("postgresql://u:grüße@h/d", "grüße"),
        ("postgresql://u@h/d?password=p%26q", "p&q"),
        ("postgresql://h/d?user=u&password=p%40q", "p@q"),
    ],
)
def test_a_password_is_read_as_it_was_meant(text: str, password: str) -> None:
    """Escaped where that is needed, and as it is where it is not."""
    dsn = parse(text)
    assert (dsn.user, dsn.password, dsn.hosts, dsn.database) == ("u", password, (Host("h"),), "d")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://app:hunter2@ss@db.example.com:5432/app",
        "postgresql://app@server:hunter2@db.example.com:5432/app",
        "postgresql://app:12/hunter2@db.example.com:5432/app",
        "postgresql://app:hunter2/ab@db.example.com:5432/app",
        "postgresql://app:hunter2#ss@db.example.com:5432/app",
        "postgresql://app:hunter2@db.example.com/app#ss",
        "postgresql://app:12?hunter2@db.example.com:5432/app",
        "postgresql://app:12?hunter2=x@db.example.com:5432/app",
        "postgresql://app:12,34/hunter2@db.example.com:5432/app",
        "postgresql://app:hunter2 x@db.example.com/app",
        "postgresql://app:hunter2\tx@db.example.com/app",
        "postgresql://app:hunter2\nx@db.example.com/app",
        "postgresql://app:hunter2%@db.example.com/app",
        "postgresql://app:50%hunter2@db.example.com/app",
        "postgresql://app:hunter2%E9@db.example.com/app",
        "postgresql://app:hunter2%00@db.example.com/app",
        "postgresql://app@h/d?password=hunter2+x",
        "postgresql://app:hunter2@h/d?password=other",
    ],
)
def test_a_password_that_would_be_misread_is_refused(text: str) -> None:
    """With what to write, and without any of it. Two that differ are one too many."""
    with pytest.raises(InvalidDsn, match=r"%40|%25|%2B|UTF-8|NUL|twice") as caught:
        parse(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must start with postgresql://, not nothing://"),
        ("u:hunter2@h/d", "must start with postgresql://, not nothing://"),
        ("//u:hunter2@h/d", "must start with"),
        ("postgresql:/u:hunter2@h/d", "must start with"),
        ("hunter2@x://h/d", "not nothing://"),
        ("mysql://u:hunter2@h/d", "not mysql://"),
        ("postgresql+psycopg://u:hunter2@h/d", "leave out the driver's name"),
        ("jdbc:postgresql://h/d?user=u&password=hunter2", "remove jdbc:"),
        ("'postgresql://u:hunter2@h/d'", "is in quotes"),
        ('"postgresql://u:hunter2@h/d"', "is in quotes"),
        ("host=h user=u password=hunter2", "is a list of key=value"),
        ("psql 'postgresql://u:hunter2@h/d'", "has psql in front"),
        ("psql postgresql://u:hunter2@h/d", "has psql in front"),
        ("DATABASE_URL=postgresql://u:hunter2@h/d", "has NAME= in front"),
        ("export DATABASE_URL='postgres://u:hunter2@h/d'", "has NAME= in front"),
        ("postgresql://u:hunter2@h/d?pool_size=20", "set database.max_size"),
        ("postgresql://u:hunter2@h/d?ApplicationName=billing", "write application_name"),
        ("postgresql://u:hunter2@h/d?encoding=utf8", "write client_encoding"),
        ("postgresql://u:hunter2@h/d?ssl_ca=/etc/ca.crt", "write sslrootcert"),
        ("postgresql://u:hunter2@/d", "has no host after the @"),
        ("postgresql://u:hunter2@:5432/d", "has no host"),
        ("postgresql://u:hunter2@h/d/", "remove it, or write %2F"),
        ("postgresql://u:hunter2@h//d", "remove it, or write %2F"),
        ("postgresql://u:hunter2@h/d?dbname=e", "sets the database twice"),
        ("postgresql://u:hunter2@h/d?user=v", "sets the user twice"),
        ("postgresql://u:hunter2@h/d?host=i", "sets the host twice"),
        ("postgresql://u:hunter2@h:1/d?port=2", "sets the port twice"),
        ("postgresql://u:hunter2@h/d?sslmode=require&sslmode=prefer", "sets sslmode twice"),
        ("postgresql://u:hunter2@h/d?sslmode=", "has no value for sslmode"),
        ("postgresql://u:hunter2@h/d?sslmode=requires", "sslmode that is not one of disable"),
        (
            "postgresql://u:hunter2@h/d?target_session_attrs=primry",
            "target_session_attrs that is not one of any, primary",
        ),
        ("postgresql://u:hunter2@h/d?sslnegotiation=quick", "sslnegotiation that is not one of postgres, direct"),
        ("postgresql://u:hunter2@h/d?statement_cache_size=-1", "statement_cache_size that is not a number"),
        ("postgresql://u:hunter2@h/d?sslMode=require", "has sslMode: write sslmode"),
        ("postgresql://u:hunter2@h/d?application_name=a?sslmode=require", "not name=value pairs joined by &"),
        ("postgresql://u:hunter2@h/d?sslmode=require&amp;connect_timeout=3", "not name=value pairs joined by &"),
        ("postgresql://u:hunter2@h/d?connect_timeout=0", "connect_timeout that is not a number of at least 1"),
        ("postgresql://u:hunter2@h/d?statement_timeout=soon", "statement_timeout that is not a time"),
        ("postgresql://u:hunter2@h/d?sslmode=require&sslrootcert=system", "requires sslmode=verify-full"),
        ("postgresql://u:hunter2@h/d?sslrootcert=system&sslcrl=x", "cannot be combined with sslrootcert=system"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, message: str) -> None:
    """And the message has what to change, without the secret."""
    with pytest.raises(InvalidDsn, match=re.escape(message)) as caught:
        parse(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "dsn"),
    [
        (  # Heroku, Render, RDS
            "postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d?sslmode=require",
            Dsn(
                hosts=(Host("ec2-1-2-3-4.compute-1.amazonaws.com", 5432),), user="u", password="p", database="d",
                parameters={"sslmode": "require"}, options={"sslmode": "require"},
            ),
        ),
        (  # Neon, for clients without SNI
            ("postgresql://u:p@ep-a-1.aws.neon.tech/d?sslmode=verify-full&sslrootcert=system&options=endpoint%3Dep-a-1"
            "&channel_binding=prefer"),
            Dsn(
                hosts=(Host("ep-a-1.aws.neon.tech"),), user="u", password="p", database="d",
                parameters={"sslmode": "verify-full", "sslrootcert": "system", "options": "endpoint=ep-a-1"},
                options={"sslmode": "verify-full"},
            ),
        ),
        (  # Supabase's pooler
            "postgresql://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true&connect_timeout=15",
            Dsn(
                hosts=(Host("aws-0-eu.pooler.supabase.com", 6543),), user="postgres.ref", password="p",
                database="postgres", options={"connect_timeout": 15.0, "statement_cache_size": 0},
            ),
        ),
        (  # Azure
            "postgresql://user%40server:p@server.postgres.database.azure.com/d?sslmode=require&gssencmode=disable",
            Dsn(
                hosts=(Host("server.postgres.database.azure.com"),), user="user@server", password="p", database="d",
                parameters={"sslmode": "require"}, options={"sslmode": "require"},
            ),
        ),
        (  # Cloud SQL
            "postgresql://u:p@/d?host=/cloudsql/project:region:instance",
            Dsn(hosts=(Host("/cloudsql/project:region:instance"),), user="u", password="p", database="d"),
        ),
        (
            "postgresql://u:p@%2Fcloudsql%2Fproject%3Aregion%3Ainstance/d",
            Dsn(hosts=(Host("/cloudsql/project:region:instance"),), user="u", password="p", database="d"),
        ),
    ],
)  # fmt: skip
def test_a_dsn_as_clouds_hand_it_out_works(text: str, dsn: Dsn) -> None:
    """Nothing in it is lost."""
    assert parse(text) == dsn


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("channel_binding=require", "has channel_binding: .*sslmode=verify-full"),
        ("connection_limit=1", "has connection_limit: .*database.max_size"),
        ("pool_timeout=0", "has pool_timeout: .*database.acquire_timeout"),
        ("schema=public", "has schema: .*search_path"),
        ("currentSchema=public", "has currentSchema: .*search_path"),
        ("ssl=true", "has ssl: .*sslmode=verify-full or sslmode=require"),
        ("prepareThreshold=0", "has prepareThreshold: .*database.statement_cache_size to 0"),
        ("uselibpqcompat=true", "has uselibpqcompat: .*remove it"),
        ("supa=base-pooler.x", "has supa: .*remove it"),
        ("require_auth=scram-sha-256", "has require_auth: .*remove it"),
        ("keepalives=0", "has keepalives: .*remove it"),
        ("gssencmode=require", "has gssencmode: "),
    ],
)
def test_a_parameter_that_others_know_says_what_to_write_instead(parameter: str, message: str) -> None:
    """Asyncpg would send it to the server, which refuses the connection."""
    with pytest.raises(InvalidDsn, match=message):
        parse(f"postgresql://u:p@h/d?sslmode=require&{parameter}")


def test_pghost_may_name_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in libpq."""
    monkeypatch.setenv("PGHOST", "h")
    assert parse("postgresql://u:p@/d") == Dsn(user="u", password="p", database="d")


def test_neither_a_dsn_nor_its_repr_shows_the_password() -> None:
    """A password among the parameters is hidden too."""
    assert "hunter2" not in repr(parse("postgresql://u:hunter2@h/d?sslpassword=hunter2&sslkey=x"))
