"""What a client may send is bounded: the size of a head, the wait for it, and the time without a request."""

import re
from contextlib import closing, suppress
from time import monotonic, sleep

import pytest

from tests.support.echo import (
    CALLS,
    HOST,
    INNER,
    LENGTH,
    UPGRADES,
    Echo,
    replies,
    rest,
)

TOO_MUCH = {
    "headers": (431, b"GET /echo" + HOST + b"A: b\r\n" * 200 + b"\r\n"),
    "of one header": (431, b"GET /echo" + HOST + b"A: " + b"b" * 60_000 + b"\r\n\r\n"),
    "of one header's name": (431, b"GET /echo" + HOST + b"A" * 60_000 + b": b\r\n\r\n"),
    "that does not end": (431, b"GET /echo" + HOST + b"A: " + b"b" * 2_000_000),
    "of all headers": (431, b"GET /echo" + HOST + b"A: %b\r\n" % (b"b" * 1000) * 50 + b"\r\n"),
    "of a URL": (414, b"GET /echo?" + b"a" * 10_000 + HOST + b"\r\n"),
    "headers of a websocket": (
        431,
        b"GET /ws" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ),
    "headers of an upgrade": (431, UPGRADES["HTTP/2"] + b"A: b\r\n" * 200 + b"Content-Length: 1\r\n\r\n1"),
}


@pytest.mark.parametrize(("status", "sent"), TOO_MUCH.values(), ids=TOO_MUCH)
@pytest.mark.parametrize(
    "behind",
    [b"", b"POST /echo" + HOST + b"Content-Length: 2\r\n\r\nab", b"GET /echo" + HOST + b"\r\n"],
    ids=["", "behind another", "behind one without a body"],
)
@pytest.mark.parametrize("packet", [10_000_000, 7000])
def test_too_much_in_a_head_is_refused(echo: Echo, status: int, sent: bytes, behind: bytes, packet: int) -> None:
    """With a problem that the client can read although it has not finished, and nothing is carried out."""
    sent = behind + sent
    got = echo.ask(*(sent[at : at + packet] for at in range(0, len(sent), packet)), pause=0.001)
    assert [reply.status for reply in got] == [*([200] if behind else []), status]
    assert got[-1].json()["status"] == status
    assert re.fullmatch(r"(headers|URL): (more|larger|longer) than the \d+ (bytes )?allowed", got[-1].json()["detail"])
    assert echo.calls() == ([behind.split()[0].decode()] if behind else [])


def test_a_head_within_the_limits_is_read_in_any_number_of_packets(echo: Echo) -> None:
    """Behind a body, too."""
    large = b"GET /echo" + HOST + b"A: %b\r\n" % (b"b" * 500) * 50 + b"\r\n"
    sent = b"POST /echo" + HOST + b"Content-Length: 100000\r\n\r\n" + b"a" * 100_000 + large * 3
    for packet in (1000, 30_000, 10_000_000):
        got = echo.ask(*(sent[at : at + packet] for at in range(0, len(sent), packet)), answers=4, pause=0.001)
        assert [reply.status for reply in got] == [200] * 4, packet
    echo.calls()


@pytest.mark.parametrize(
    "flood", [b"1;" + b"a" * 200_000, b"1\r\na\r\n0\r\nA: " + b"b" * 200_000], ids=["extension", "trailer"]
)
def test_what_is_around_a_body_is_bounded(echo: Echo, flood: bytes) -> None:
    """A chunk's extension, and a trailer: nobody counts them as the body's bytes."""
    (got,) = echo.ask(b"POST /echo" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", flood)
    assert got.status in {400, 431}
    echo.calls()


@pytest.mark.parametrize("before", [b"", CALLS], ids=["first", "second"])
def test_a_head_that_dribbles_in_is_a_408(echo: Echo, before: bytes) -> None:
    """The limit is for the whole head, and not for each packet."""
    began = monotonic()
    with closing(echo.connect()) as client:
        client.sendall(before)
        sleep(0.1)
        client.sendall(b"GET /echo" + HOST + b"A: b")
        client.settimeout(0.2)
        said = b""
        while monotonic() < began + 15:
            try:
                more = client.recv(65536)
            except TimeoutError:
                client.sendall(b"x")
                continue
            if not more:
                break
            said += more
    *_, got = replies(said)
    assert (got.status, got.json()["detail"]) == (408, "headers: did not arrive within 1 seconds")


@pytest.mark.parametrize("sent", [b"", b"\r\n", CALLS], ids=["silent", "an empty line", "idle"])
def test_an_idle_connection_is_closed_after_the_setting(echo: Echo, sent: bytes) -> None:
    """Also one that has never asked anything, and without a word."""
    if echo.name == "h11" and sent == b"\r\n":
        pytest.skip("h11 refuses an empty line before a request")
    with closing(echo.connect()) as client:
        client.sendall(sent)
        began = monotonic()
        got = replies(rest(client))
        seconds = monotonic() - began
    assert len(got) == (sent == CALLS)
    assert 1.8 < seconds < 15


def test_a_body_that_nobody_reads_does_not_keep_its_connection(echo: Echo) -> None:
    """Its request was answered before the body came, which then dribbles in."""
    with closing(echo.connect()) as client:
        client.sendall(b"POST /early" + HOST + b"Content-Length: 1000000\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        began = monotonic()
        with suppress(ConnectionError):
            while monotonic() < began + 15:
                client.sendall(b"x")
                sleep(0.1)
        assert monotonic() < began + 10


def test_a_request_behind_a_body_that_nobody_read_is_answered(echo: Echo) -> None:
    """And the connection may be idle after it as after any."""
    sent = b"POST /early" + HOST + LENGTH + b"\r\n"
    got = echo.ask(sent, INNER, CALLS, answers=2)
    assert [reply.status for reply in got] == [200, 200]
    assert got[1].json() == []
