"""The command line against a live server: what it prints, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framerpc.cli.main import main

GONE = "tcp://127.0.0.1:1"  # nobody listens at port 1

GOOD = [
    (["call", "URL", "Demo/add", "2", "3"], "5\n"),
    (["call", "URL", "Demo/add", "a=2", "b=40"], "42\n"),
    (["call", "URL", "Demo/add", "-2", "3"], "1\n"),
    (["call", "URL", "Demo/count", "3"], "0\n1\n2\n"),
    (["call", "URL", "Demo/total", "[1, 2, 3]"], "6\n"),
    (["call", "URL", "Demo/total", "numbers=[4]"], "4\n"),
    (["call", "URL", "Demo/echo", "你好"], '"你好"\n'),
    (["call", "URL", "Demo/add", "1", "2", "--notify"], ""),
]

BAD = [
    (["call", "URL", "Demo/nothing"], 1, "Demo/nothing"),
    (["call", "URL", "Demo/add", "2"], 1, "`b`"),
    (["call", "URL", "Demo/add", "2", "x"], 1, "b: Expected `int`"),
    (["call", "URL", "Demo/add", "2", "3", "4"], 1, "takes 2 arguments"),
    (["call", "URL", "Demo/add", "a=2", "a=3"], 2, "given twice"),
    (["call", "URL", "Demo/add", "a=2", "3"], 2, "before the named"),
    (["call", "URL", "Demo/total", "4"], 2, "numbers is a stream"),
    (["call", GONE, "Demo/add", "1", "2"], 3, "could not connect"),
    (["inspect", GONE], 3, "could not connect"),
    (["bench", GONE], 3, "could not connect"),
    (["call", "foo://x", "y"], 2, "unknown address"),
    (["call", "URL", "x", "--tls-ca", "c.pem"], 2, "certificates are for tls://"),
    (["call", "URL", "x", "--token-file", "/no/such/file"], 2, "/no/such/file"),
    (["bench", "URL", "--args", "{"], 2, "not JSON"),
    (["bench", "URL", "--args", "3"], 2, "JSON array"),
    (["bench", "URL", "--in-flight", "0"], 2, "above 0"),
    (["serve", "no_such_module:server"], 2, "there is no module"),
    (["serve", "json:nothing"], 2, "has no 'nothing'"),
    (["serve", "json"], 2, "module:object"),
    (["serve", "string:digits"], 2, "not a service"),
    (["serve", "tests.cli.conftest:Demo", "--bind", "bogus"], 2, "unknown address"),
    (["serve", "tests.cli.conftest:Demo", "--bind", "URL"], 2, "in use"),
    (["serve", "tests.cli.conftest:Demo", "--tls-key", "k.pem"], 2, "go with --tls-cert"),
]


@pytest.mark.parametrize(("words", "printed"), GOOD)
def test_call_prints_the_result(
    words: list[str], printed: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call prints its result as JSON, a stream one line per item, and exits with 0."""
    assert main([url if word == "URL" else word for word in words]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(("words", "code", "said"), BAD)
def test_mistake_is_told_in_one_line(
    words: list[str], code: int, said: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake costs one line on standard error, no traceback, and an exit code of its kind."""
    assert main([url if word == "URL" else word for word in words]) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("framerpc: ")
    assert printed.err.count("\n") == 1
    assert not printed.out


def test_inspect_shows_methods_and_docs(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`inspect` prints services, signatures and docstrings, without the framework's own."""
    assert main(["inspect", url]) == 0
    printed = capsys.readouterr().out
    assert "Demo/add(a: int, b: int) -> int\n    Add two numbers." in printed
    assert "A service for the command line." in printed
    assert "framerpc/health" not in printed


def test_inspect_shows_everything_as_json(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`inspect --json` prints the description as the server gives it."""
    assert main(["inspect", url, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert "Demo/add" in {method["name"] for method in described["methods"]}


def test_bench_counts_calls(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`bench --json` prints calls per second and no errors."""
    words = ["bench", url, "--method", "Demo/add", "--args", "[1, 2]", "--seconds", "0.1", "--json"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["calls_per_second"] > 0
    assert result["errors"] == 0


def test_bench_of_failing_calls_fails(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """If no call succeeds, `bench` says why and exits with 1."""
    assert main(["bench", url, "--method", "Demo/add", "--seconds", "0.05"]) == 1
    assert "no call of Demo/add succeeded" in capsys.readouterr().out


@pytest.mark.parametrize(("token", "code"), [("right", 0), ("wrong", 3)])
def test_token_comes_from_a_file(token: str, code: int, url: str, tmp_path: Path) -> None:
    """The token in the file is shown to the server; a wrong one exits with 3."""
    place = tmp_path / "token"
    place.write_text(f"{token}\n")
    assert main(["call", url, "Demo/add", "1", "2", "--token-file", str(place)]) == code


def test_empty_token_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server is not started with an empty token, which would let everybody in."""
    monkeypatch.setenv("FRAMERPC_TOKEN", "")
    assert main(["serve", "tests.cli.conftest:Demo"]) == 2
    assert "empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "said"),
    [("def f(:", "invalid syntax"), ("1 / 0", "ZeroDivisionError"), ("import no_such", "no_such")],
)
def test_broken_module_is_named(
    code: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A module that cannot be imported is told with its reason."""
    name = f"broken_{said.replace(' ', '_').lower()}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    assert main(["serve", f"{name}:server"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["serve"], ["call"], ["inspect"], ["bench"]])
def test_help_fits_a_terminal(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each help screen fits 80 columns and exits with 0."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf"])
def test_timeout_must_be_a_time(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no number of seconds is refused by name."""
    with pytest.raises(SystemExit):
        main(["call", GONE, "x", f"--timeout={text}"])
    assert "--timeout" in capsys.readouterr().err
