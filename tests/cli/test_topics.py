"""`framerpc pub` and `framerpc sub` against a live server."""

from __future__ import annotations

import threading

import pytest

import framerpc
import framerpc.sync
from framerpc.cli.main import main


def test_what_is_published_is_printed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`sub` prints topic and data of each message, says when it is ready, and stops by count."""
    codes: list[int] = []
    command = ["sub", url, "news.>", "--count", "2"]
    with framerpc.sync.connect(url) as client:
        listening = threading.Thread(target=lambda: codes.append(main(command)))
        listening.start()
        while not client.publish("news.a", {"n": 1}).subscribers:  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
            pass
        client.publish("news.b.c", "text")
        listening.join(20)
    told = capsys.readouterr()
    assert (codes, told.err) == ([0], "subscribed\n")
    assert told.out == 'news.a {"n": 1}\nnews.b.c "text"\n'


def test_the_receipt_is_printed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`pub` says how many subscribers there are, and nothing without a receipt."""
    with framerpc.sync.connect(url) as client:
        with client.subscribe("a") as one, client.subscribe("b"), client.subscribe("b"):
            assert main(["pub", url, "a", "[1, 2]"]) == 0
            assert main(["pub", url, "b", "x"]) == 0
            assert main(["pub", url, "c", "x", "--no-ack"]) == 0
            assert one.get(timeout=10).data == [1, 2]
    assert capsys.readouterr().out == "1 subscriber\n2 subscribers\n"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["pub", "URL", "a..b", "1"], 1, "empty"),
        (["pub", "URL", "$sys", "1"], 1, "not allowed"),
        (["sub", "URL", "a.>.b"], 1, "last token"),
        (["sub", "URL", "a", "--since", "yesterday"], 2, "--since"),
        (["sub", "tcp://127.0.0.1:1", "a"], 3, "could not connect"),
        (["pub", "tcp://127.0.0.1:1", "a", "1"], 3, "could not connect"),
    ],
)
def test_mistakes_are_explained(
    arguments: list[str], code: int, text: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done exits with its code and one line on standard error."""
    assert main([url if word == "URL" else word for word in arguments]) == code
    assert text in capsys.readouterr().err


def test_since_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """`--since` reads what is kept, and `--key` publishes once."""
    server = framerpc.Server(topics=[framerpc.TopicPolicy("log", history=9)])
    with framerpc.sync.serve(server, "tcp://127.0.0.1:0", grace=0):
        for _ in range(2):
            assert main(["pub", server.url, "log", "1", "--key", "k"]) == 0
        assert main(["pub", server.url, "log", "2"]) == 0
        assert main(["sub", server.url, "log", "--since", "start", "--count", "2"]) == 0
        assert main(["sub", server.url, "log", "--since", "1", "--count", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0 subscribers, position ")
    assert lines[1].endswith("published before")
    assert lines[3:] == ["log 1", "log 2", "log 2"]
