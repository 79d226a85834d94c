"""Who may open a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest

from framerpc.errors import ConfigurationError
from framerpc.gateway.door import Door
from tests.gateway.asgi import scope_of


def page(origin: str | None, host: str = "chat.example") -> dict[str, Any]:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"Origin", origin.encode()))
    return scope_of(headers=headers)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (None, "chat.example"),
        ("https://chat.example", "chat.example"),
        ("http://CHAT.example", "chat.EXAMPLE"),
        ("http://chat.example:8080", "chat.example:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_pages_of_the_same_host_and_programs_may_enter(origin: str | None, host: str) -> None:
    """Without a list, the page's host must be the host it connects to; programs have no page."""
    assert Door().refusal(page(origin, host)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://chat.example:8443",
        "https://chat.example.evil",
        "https://evil-chat.example",
        "chat.example",
        "null",
        "",
        "file://",
        "ftp://chat.example",
        "https://chat.example/",
        "https://a@chat.example",
    ],
)
def test_foreign_pages_may_not_enter(origin: str) -> None:
    """A page of another origin, or of none, is refused with 403."""
    refusal = Door().refusal(page(origin))
    assert refusal is not None
    assert refusal[0] == 403


def test_listed_origins_may_enter_and_others_may_not() -> None:
    """An origin of the list may connect to any host, whatever way it was written."""
    door = Door(["https://App.example:443", "http://[::1]:3000"])
    assert door.refusal(page("https://app.example")) is None
    assert door.refusal(page("http://[::1]:3000")) is None
    assert door.refusal(page("http://app.example")) is not None
    assert door.refusal(page("https://chat.example")) is None  # the same host, still


def test_a_star_lets_every_page_in() -> None:
    """With "*" any page may connect, one without an origin as well."""
    assert Door(["*"]).refusal(page("null")) is None


def test_two_origins_are_none() -> None:
    """A request that names two origins is refused, even if each of them may enter."""
    twice = page("https://chat.example")
    twice["headers"].append((b"origin", b"https://chat.example"))
    assert Door().refusal(twice) == (
        403,
        "this page may not connect here: its origin is not allowed",
    )


@pytest.mark.parametrize("offered", [[], ["framerpc.v2"], ["x" * 60_000], ["FRAMERPC.V1"]])
def test_the_subprotocol_must_be_offered(offered: list[str]) -> None:
    """Whoever does not offer framerpc.v1, exactly, is refused with 400."""
    refusal = Door(["*"]).refusal(scope_of(subprotocols=offered))
    assert refusal == (400, "ask for the subprotocol framerpc.v1")


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "chat.example",
        "https://",
        "https://a/",
        "ws://a",
        "https://a:b",
        "https://a:99999",
        "null",
    ],
)
def test_what_is_no_origin_is_refused_at_once(origin: str) -> None:
    """A list with something that no browser sends is a mistake of the program."""
    with pytest.raises(ConfigurationError, match="is no origin"):
        Door([origin])


def test_one_text_is_no_list() -> None:
    """A single text would be taken for a list of letters, so it is refused."""
    with pytest.raises(ConfigurationError, match="list of texts"):
        Door("*")
