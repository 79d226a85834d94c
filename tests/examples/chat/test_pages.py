"""What browsers are told with the chat's page."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final

import pytest

import framerpc
from examples.chat.server.pages import pages
from framerpc.gateway import App

WEB: Final = Path(__file__).parent.parent.parent.parent / "examples" / "chat" / "web"


async def _get(path: str, **asked: str) -> tuple[int, dict[str, str], str]:
    """Return the status, the headers and the text of an answer."""
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), v.encode()) for name, v in asked.items()],
        "http_version": "1.1",
        "extensions": {},
    }
    await pages(App(framerpc.Server()), "/rpc")(scope, receive, send)
    start, *parts = told
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, b"".join(part["body"] for part in parts).decode()


async def test_only_the_scripts_of_the_page_may_run() -> None:
    """The policy names this place, and the one inline script by its hash."""
    status, headers, text = await _get("/")
    policy = headers["content-security-policy"]
    (inline,) = re.findall(r"<script type=\"importmap\">(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert status == 200
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_has_nothing_that_its_policy_forbids() -> None:
    """No inline style, no inline handler, no script but the map of names."""
    text = (WEB / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|https?://", text) == []
    assert len(re.findall(r"<script(?! type=\"importmap\")(?![^>]* src=)", text)) == 0


@pytest.mark.parametrize("path", ["/", "/app.js", "/framerpc.js", "/style.css", "/nowhere"])
async def test_every_answer_is_careful(path: str) -> None:
    """Types are not guessed, nobody is told where one came from, nothing old is shown."""
    _, headers, _ = await _get(path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/app.js", "/framerpc.js", "/vendor/msgpack.js"])
async def test_modules_are_javascript_for_browsers(path: str) -> None:
    """A module of another type would be refused."""
    status, headers, _ = await _get(path)
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/javascript")


@pytest.mark.parametrize("path", ["/app.js", "/framerpc.js"])
async def test_what_a_browser_has_is_not_sent_again(path: str) -> None:
    """An answer has an ETag; asked with it, the server says that nothing has changed."""
    _, headers, _ = await _get(path)
    status, _, text = await _get(path, if_none_match=headers["etag"])
    assert (status, text) == (304, "")


async def test_the_gateway_answers_in_its_place() -> None:
    """Behind the page's own names, `/rpc` is the gateway."""
    status, _, text = await _get("/rpc/livez")
    assert (status, text) == (200, "alive")
