"""The ASGI app, against the interface itself: no web server, no socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import framerpc
from framerpc.codecs import packb
from framerpc.gateway import App
from framerpc.testing import virtual_time
from tests.gateway.asgi import HELLO, Browser, ask, opened
from tests.services import Work
from tests.survival.siege import frame, request, settled


def gateway(**options: Any) -> App:
    return App(framerpc.Server(Work(), **options))


# -------------------------------------------------------------------- calls


async def test_a_call_is_answered() -> None:
    """A greeting is answered by WELCOME, which names the client's address, and a call by its result."""
    async with opened(gateway()) as browser:
        browser.send(HELLO)
        welcome = await browser.frame(0)
        assert welcome[0] == 2
        assert welcome[1]["peer"] == "ws://192.0.2.7:50412"
        browser.send(frame(*request(1, "Work/echo", "hello")))
        assert await browser.frame(1) == [9, 1, packb("hello")]


async def test_messages_may_cut_the_bytes_anywhere() -> None:
    """A message may hold a single byte, or many frames and a half."""
    async with opened(gateway()) as browser:
        for byte in HELLO:
            browser.send(bytes([byte]))
        calls = b"".join(frame(*request(number, "Work/echo", number)) for number in (1, 3, 5))
        browser.send(calls[:-7])
        browser.send(calls[-7:])
        await browser.frame(3)
        assert sorted(browser.frames()[1:]) == [[9, n, packb(n)] for n in (1, 3, 5)]


async def test_who_connects_is_asked_as_on_a_socket() -> None:
    """`authenticate` sees the token, the address and the scheme; its refusal reaches the client."""
    seen: list[framerpc.Credentials] = []

    def authenticate(credentials: framerpc.Credentials) -> None:
        seen.append(credentials)
        raise framerpc.Unauthenticated("who are you?")

    async with opened(gateway(authenticate=authenticate), scheme="wss") as browser:
        browser.send(HELLO)
        assert await browser.code() == 4003
    assert browser.frames() == [[3, 3, "who are you?", None]]
    assert [(each.scheme, each.address) for each in seen] == [("wss", "wss://192.0.2.7:50412")]


async def test_a_client_that_leaves_takes_its_calls_along() -> None:
    """When the WebSocket is closed, its calls are cancelled and nothing of it is left."""
    app = gateway()
    async with opened(app) as browser:
        browser.send(HELLO + frame(*request(1, "Work/sleep", 3600.0)))
        await settled(lambda: app.server.statistics()["calls_in_flight"])
        browser.leave()
        await browser.task
        assert app.server.statistics()["clients"] == 0
        assert browser.events[1:] == []  # nobody is there to be told


# -------------------------------------------------- hostile input, row 44 of the list


@pytest.mark.parametrize(
    "message",
    [{"text": "hello"}, {"text": ""}, {"bytes": b""}, {"bytes": None, "text": "a" * 100_000}],
)
async def test_text_and_nothing_are_refused(message: dict[str, Any]) -> None:
    """A message that is text, or empty, ends the connection with CLOSE and counts as a violation."""
    app = gateway()
    async with opened(app) as browser:
        browser.send(HELLO)
        await browser.frame(0)
        browser.to_app.put_nowait({"type": "websocket.receive"} | message)
        assert await browser.code() == 4001
        assert (await browser.frame(1))[:2] == [3, 1]
        assert app.server.counters.violations == 1


async def test_text_from_a_stranger_is_answered_by_a_code_alone() -> None:
    """Who has not shown that it speaks framerpc gets no frame, only 1003."""
    async with opened(gateway()) as browser:
        browser.to_app.put_nowait({"type": "websocket.receive", "text": "GET / HTTP/1.1"})
        assert await browser.code() == 1003
        assert browser.received == b""


async def test_a_message_above_the_limit_is_refused() -> None:
    """A message of 131072 bytes passes, one byte more ends the connection with 1009."""
    async with opened(gateway()) as browser:
        padding = frame(64, bytes(131_072 - len(HELLO) - 4 - 7))
        assert len(HELLO + padding) == 131_072
        browser.send(HELLO)
        await browser.frame(0)
        browser.send(padding + bytes(len(HELLO)))
        assert await browser.code() == 4001  # a frame of no bytes: the message itself was read
    async with opened(gateway()) as browser:
        browser.send(bytes(131_073))
        assert await browser.code() == 1009


async def test_bytes_of_another_protocol_end_it_without_a_word() -> None:
    """A wrong preamble is refused at its first byte, and answered by nothing."""
    async with opened(gateway()) as browser:
        browser.send(b"\x16")
        assert await browser.code() == 1000
        assert browser.received == b""


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"subprotocols": []}, 400),
        ({"headers": [(b"host", b"a"), (b"origin", b"http://evil")]}, 403),
    ],
)
async def test_who_may_not_enter_is_told_so_before_the_websocket_is_there(
    extensions: dict[str, Any], changes: dict[str, Any], status: int
) -> None:
    """A refusal is an HTTP status where the web server can send one, a close where not."""
    app = gateway()
    async with app.server.listen(app, grace=0):
        browser = Browser(app, extensions=extensions, **changes)
        await browser.task
        if extensions:
            assert browser.events[0]["status"] == status
            assert len(browser.events) == 2
        else:
            assert [event["type"] for event in browser.events] == ["websocket.close"]
        assert app.server.counters.connections == 0


async def test_strangers_are_bounded_by_number_and_address() -> None:
    """A stranger too many is refused with 503 before its WebSocket is accepted."""
    limits = framerpc.Limits(max_unauthenticated_per_address=1)
    app = gateway(limits=limits)
    async with opened(app):
        second = Browser(app, extensions={"websocket.http.response": {}})
        await second.task
        assert second.events[0]["status"] == 503
        assert app.server.counters.turned_away == 1
        elsewhere = Browser(app, client=("192.0.2.8", 1))
        await elsewhere.until(lambda: elsewhere.events)
        assert elsewhere.events[0]["type"] == "websocket.accept"
        elsewhere.leave()
        await elsewhere.task
    assert not app.server.peers._by_host


@virtual_time
async def test_a_stranger_that_says_nothing_is_sent_away() -> None:
    """The handshake timeout holds from the moment the WebSocket is opened."""
    app = gateway()
    async with opened(app) as browser:
        browser.send(HELLO[:5])
        await browser.code()
        assert asyncio.get_running_loop().time() == 10.0


# ------------------------------------------------------------------ backpressure


async def test_a_client_that_does_not_read_is_not_read_either() -> None:
    """While the web server takes nothing, the gateway receives no further message."""
    app = gateway()
    async with opened(app) as browser:
        browser.send(HELLO)
        await browser.frame(0)
        browser.may_send.clear()
        for number in range(1, 401, 2):
            browser.send(frame(*request(number, "Work/echo", "x" * 10_000)))
        await settled(lambda: app.server.counters.calls > 10)
        for _ in range(50):
            await asyncio.sleep(0)
        assert browser.taken < 100
        browser.may_send.set()
        await browser.frame(200)
        assert browser.taken == 2 + 200  # "connect", the greeting and the calls


@virtual_time
async def test_a_client_that_never_reads_is_given_up() -> None:
    """Within twice the write timeout and the time to close, its connection is gone."""
    app = gateway(limits=framerpc.Limits(write_timeout=5))
    async with opened(app) as browser:
        browser.send(HELLO)
        await browser.frame(0)
        browser.may_send.clear()
        browser.send(frame(*request(1, "Work/count", 1000, 100_000, flags=1)))
        for number in range(3, 201, 2):
            browser.send(frame(*request(number, "Work/echo", "x" * 10_000)))
        await browser.task
        assert asyncio.get_running_loop().time() <= 2 * 5.0 + 5.0
        assert app.server.statistics()["clients"] == 0


# ------------------------------------------------------------------ drain, health


async def test_health_says_whether_clients_should_come() -> None:
    """`/livez` is 200 always; `/readyz` only while the server listens and does not drain."""
    app = gateway()
    assert await ask(app, "/livez") == (200, b"alive")
    assert await ask(app, "/readyz") == (503, b"not serving")
    async with opened(app) as browser:
        assert await ask(app, "/readyz") == (200, b"ready")
        assert await ask(app, "/rpc/readyz", root_path="/rpc") == (200, b"ready")
        browser.send(HELLO + frame(*request(1, "Work/sleep", 3600.0)))
        await settled(lambda: app.server.statistics()["calls_in_flight"])
        closing = asyncio.ensure_future(app.server.close(grace=10))
        assert (await browser.frame(1))[0] == 4  # GOAWAY
        assert await ask(app, "/readyz") == (503, b"not serving")
        assert await ask(app, "/livez") == (200, b"alive")
        late = Browser(app, extensions={"websocket.http.response": {}})
        await late.task
        assert late.events[0]["status"] == 503
        browser.send(frame(11, 1, 0))  # CANCEL: nothing is in flight any more
        await closing
        assert await browser.code() == 4010
    assert (await ask(app, "/readyz"))[0] == 503


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("HEAD", "/livez", (200, b"")),
        ("POST", "/livez", (405, b"ask with GET")),
        ("GET", "/", (426, b"this is for WebSockets with the subprotocol framerpc.v1")),
        ("GET", "/livez/", (404, b"there is nothing here")),
        ("GET", "/../etc/passwd", (404, b"there is nothing here")),
    ],
)
async def test_other_questions_have_answers_too(
    method: str, path: str, answer: tuple[int, bytes]
) -> None:
    """What is not for health is answered with the status that fits."""
    assert await ask(gateway(), path, method) == answer


async def test_lifespan_starts_and_stops_the_server() -> None:
    """Run as an app of its own, the gateway starts the server and drains it at the end."""
    app = gateway()
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.ensure_future(app({"type": "lifespan"}, to_app.get, from_app.put))
    to_app.put_nowait({"type": "lifespan.startup"})
    assert await from_app.get() == {"type": "lifespan.startup.complete"}
    assert app.server.serving
    assert app.server.urls == ["ws://"]
    to_app.put_nowait({"type": "lifespan.shutdown"})
    assert await from_app.get() == {"type": "lifespan.shutdown.complete"}
    await running
    assert not app.server.serving


async def test_a_server_that_cannot_start_says_why() -> None:
    """A hook that fails is told to the web server, which then does not start."""
    app = gateway()

    @app.server.on_start
    def fail() -> None:
        raise RuntimeError("no database")

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="no database"):
        await app({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "no database"}]


@pytest.mark.parametrize("failure", [OSError("gone"), RuntimeError("a bug")])
async def test_a_web_server_that_fails_leaves_nothing(failure: Exception) -> None:
    """When `send` fails, the connection is lost; only a failure that is none of the network's is told."""
    app = gateway()
    async with app.server.listen(app, grace=0):
        browser = Browser(app)
        await browser.until(lambda: browser.events)
        browser.failure = failure
        browser.send(HELLO)
        (end,) = await asyncio.gather(browser.task, return_exceptions=True)
        assert end is (None if isinstance(failure, OSError) else failure)
        assert (app.server.peers.welcome, app.server.peers.strangers) == ({}, {})


async def test_a_request_that_is_cancelled_leaves_nothing() -> None:
    """A web server that cancels the app ends the connection, however far it is."""
    app = gateway()
    async with app.server.listen(app, grace=0):
        browser = Browser(app)
        await browser.until(lambda: browser.events)
        browser.task.cancel()
        await asyncio.gather(browser.task, return_exceptions=True)
        assert browser.task.cancelled()
        assert not app.server.peers.strangers
