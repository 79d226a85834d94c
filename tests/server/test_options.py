"""Options of a server: one of the wrong kind is refused when the server is made, by its name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import framerpc
import framerpc.sync
from framerpc import ConfigurationError, TopicPolicy
from framerpc.gateway import App

OPTIONS = [
    name
    for name, each in inspect.signature(framerpc.Server).parameters.items()
    if each.kind is each.KEYWORD_ONLY
]


@pytest.mark.parametrize(
    "value", [5.5, object(), [5.5], b"x"], ids=["number", "object", "list", "bytes"]
)
@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_the_wrong_kind_is_refused_by_its_name(name: str, value: Any) -> None:
    """None of them is found out by the first client."""
    if (name, type(value)) == ("interceptors", list):
        match = "interceptors must be async functions"
    else:
        match = f"^{name} must be "
    with pytest.raises(ConfigurationError, match=match):
        framerpc.Server(**{name: value})


@pytest.mark.parametrize("name", ["topics", "interceptors"])
def test_what_can_be_gone_through_only_once_is_no_list(name: str) -> None:
    """To look at it would be to use it up."""
    options: dict[str, Any] = {name: (each for each in [TopicPolicy(">")])}
    with pytest.raises(ConfigurationError, match=f"^{name} must be a list of "):
        framerpc.Server(**options)


def test_a_store_that_cannot_do_it_all_is_told_what_it_lacks() -> None:
    """By the names of the methods."""

    class Half:
        async def load(self) -> dict[bytes, bytes]:
            return {}

    store: Any = Half()
    with pytest.raises(ConfigurationError, match=r"has no write, close\(\)"):
        framerpc.Server(replies=store)


def test_a_client_takes_its_interceptors_as_a_list() -> None:
    """As a server does."""
    one: Any = lambda context, body, inner: inner(context, body)  # noqa: E731
    with pytest.raises(ConfigurationError, match=r"^interceptors must be a list of "):
        framerpc.connect("memory://x", interceptors=one)


@pytest.mark.parametrize("grace", [-1, "x", None, True, float("nan"), float("inf")])
async def test_a_grace_that_is_no_time_is_refused_before_anything_listens(grace: Any) -> None:
    """Or the server could be started, and not stopped."""
    server = framerpc.Server()
    with pytest.raises(ConfigurationError, match=r"^grace must be a number of seconds >= 0"):
        server.listen("memory://grace", grace=grace)
    async with server.listen("memory://grace"):
        with pytest.raises(ConfigurationError, match=r"^grace must be"):
            await server.close(grace)
        assert not server.draining


async def test_tls_that_is_no_context_is_refused() -> None:
    """Also where no address asks for it."""
    tls: Any = "cert.pem"
    with pytest.raises(ConfigurationError, match=r"^tls must be an ssl\.SSLContext"):
        await framerpc.Server().start("memory://tls", tls=tls)


@pytest.mark.parametrize(
    "options", [{"grace": "x"}, {"origins": 5}, {"origins": [5]}, {"origins": "https://a.org"}]
)
def test_a_gateway_refuses_options_of_the_wrong_kind(options: Any) -> None:
    """Where it is made, not in the web server."""
    with pytest.raises(ConfigurationError, match=r"grace|origin"):
        App(framerpc.Server(), **options)


def test_a_gateway_needs_a_server() -> None:
    """Not its class, nor its address."""
    server: Any = framerpc.Server
    with pytest.raises(ConfigurationError, match=r"^server must be a framerpc\.Server"):
        App(server)


async def test_serve_refuses_a_grace_that_is_no_time_before_it_listens() -> None:
    """Found out when the signal comes, it would keep the server from stopping."""
    server = framerpc.Server()
    with pytest.raises(ConfigurationError, match=r"^grace must be"):
        await server.serve("memory://grace", grace=float("inf"))
    assert server.urls == []


def test_a_blocking_serve_refuses_it_as_well() -> None:
    """Before it listens."""
    server = framerpc.Server()
    serving = framerpc.sync.serve(server, "memory://grace", grace=-1)
    with pytest.raises(ConfigurationError, match=r"^grace must be"), serving:
        pass
    assert server.urls == []


def test_a_store_that_stands_for_another_is_taken_at_its_word() -> None:
    """It may not have the other yet."""

    class Proxy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("not opened yet")

    store: Any = Proxy()
    framerpc.Server(store=store)
