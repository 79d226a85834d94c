"""`framerpc conformance`: what it prints, and when it fails."""

from __future__ import annotations

import pytest

from framerpc.cli.main import main
from framerpc.testing.conformance import checks


def test_our_server_conforms(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every check that can be made at once holds; a line for each, and a summary, exit code 0."""
    assert main(["conformance", url, "--timeout", "20"]) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    slow = sum(each.slow for each in checks())
    assert summary == f"{url}: {len(checks()) + 1 - slow} hold, 0 fail, {slow} could not be checked"
    assert sum(line.startswith("ok    R-") for line in lines) == len(checks()) + 1 - slow


def test_only_failures_are_printed_when_asked(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --failures a good server gets one line; a token that it wants is read from outside."""
    monkeypatch.setenv("FRAMERPC_TOKEN", "right")
    assert main(["conformance", url, "--failures", "--timeout", "20"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(url)


@pytest.mark.parametrize(
    ("place", "token", "code", "word"),
    [
        ("tls://127.0.0.1:1", None, 2, "tcp:// or unix://"),
        ("tcp://127.0.0.1:1", None, 3, "refused"),
        ("URL", "wrong", 3, "expected WELCOME"),
    ],
)
def test_a_server_that_cannot_be_examined_is_an_error_in_words(
    place: str,
    token: str | None,
    code: int,
    word: str,
    url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is printed about requirements when there is nobody, or we are not let in."""
    if token is not None:
        monkeypatch.setenv("FRAMERPC_TOKEN", token)
    assert main(["conformance", place.replace("URL", url)]) == code
    captured = capsys.readouterr()
    assert (captured.out, word in captured.err) == ("", True), captured
