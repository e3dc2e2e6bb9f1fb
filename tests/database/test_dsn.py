"""A DSN is read by libpq's rules, with any number of hosts, on every Python; and what cannot be meant is refused."""

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
    """Names, addresses of both kinds and sockets, with ports of their own or one for all."""
    dsn = parse(text)
    assert (dsn.user, dsn.password, dsn.database, dsn.hosts) == ("u", "p", "d", hosts)


@pytest.mark.usefixtures("one_host_urls")
async def test_a_name_and_an_ipv6_address_are_tried_in_turn(clone_dsn: str) -> None:
    """On each Python: nobody listens at the first two, and the third is a socket."""
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
        ("postgresql://u:hunter2@a:1,b:x/d", "host or port that cannot be"),
        ("postgresql://u:hunter2@a,,b/d", "names no host"),
        ("postgresql://u:hunter2@a,b,c/d?port=1,2", "2 ports for 3 hosts"),
        ("postgresql://u:hunter2@::1/d", "an IPv6 address is in brackets"),
        ("postgresql://u:hunter2@[::g]/d", "host or port that cannot be"),
        ("postgresql://u:hunter2@a:0/d", "host or port that cannot be"),
    ],
)
def test_hosts_that_cannot_be_are_refused(text: str, message: str) -> None:
    """Without the secret."""
    with pytest.raises(InvalidDsn, match=message) as caught:
        parse(text)
    assert "hunter2" not in str(caught.value)
