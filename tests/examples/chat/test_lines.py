"""The line mode says and prints everything once, and ends with a code and a sentence."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import framerpc.sync
from examples.chat.__main__ import main
from examples.chat.client import home
from examples.chat.server.serving import make_server


class Place:
    """A server at a port that it comes back to."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = "tcp://127.0.0.1:0"
        self._running = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        serving = framerpc.sync.serve(make_server(self.data), self.url)
        self.url = self._running.enter_context(serving).url

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A server, and a home for tokens."""
    place = Place(tmp_path / "data")
    monkeypatch.setenv("CHAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHAT_URL", place.url)
    monkeypatch.delenv("CHAT_TOKEN", raising=False)
    yield place
    place.stop()


@pytest.fixture
def lobby(place: Place, capsys: pytest.CaptureFixture[str]) -> Place:
    """A server where ada has made a room."""
    assert main(["register", "ada"]) == 0
    assert main(["create", "lobby"]) == 0
    capsys.readouterr()
    return place


def tail(capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    capsys.readouterr()
    assert main(["tail", "lobby", "--no-follow", *more]) == 0
    return capsys.readouterr().out.splitlines()


def texts(capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    return [json.loads(line)["text"] for line in tail(capsys, "--json", *more)]


# ------------------------------------------------------------------------------------- accounts


def test_a_token_is_kept_for_its_user_alone(place: Place, tmp_path: Path) -> None:
    """By server and name."""
    assert main(["register", "ada"]) == 0
    path = tmp_path / "home" / "tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(json.loads(path.read_text())[place.url]) == ["ada"]


def test_without_an_account_it_says_what_to_do(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line."""
    assert main(["rooms"]) == 1
    assert capsys.readouterr().err == (
        f"chat rooms: no account at {place.url} is known here; register one\n"
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "name: it is empty"),
        ("a" * 33, "name: it is longer than 32 characters"),
        ("a b", "name: it has something that may not stand there; letters and digits may"),
    ],
)
def test_a_name_that_is_none_is_refused_in_words(
    place: Place, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    """Nobody has to read a pattern."""
    assert main(["register", name]) == 1
    assert capsys.readouterr().err == f"chat register: {why}\n"


def test_among_several_accounts_one_has_to_be_chosen(
    lobby: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before or after the subcommand."""
    assert main(["register", "bob"]) == 0
    assert main(["rooms"]) == 1
    assert "ada, bob; use --as" in capsys.readouterr().err
    assert main(["rooms", "--as", "ada"]) == 0
    assert main(["--as", "ada", "rooms"]) == 0
    assert capsys.readouterr().out == "#lobby\t0 unread\t1 members\n" * 2


def test_a_token_may_come_from_the_environment(
    lobby: Place,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For scripts that keep none."""
    tokens = json.loads((tmp_path / "home" / "tokens.json").read_text())
    monkeypatch.setenv("CHAT_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CHAT_TOKEN", tokens[lobby.url]["ada"])
    assert main(["rooms"]) == 0
    assert capsys.readouterr().out.startswith("#lobby")


def test_a_server_that_is_away_is_no_refusal(
    lobby: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script may try that again."""
    lobby.stop()
    assert main(["say", "lobby", "hello", "--timeout", "0.2"]) == 3
    assert capsys.readouterr().err.startswith("chat say: ")


# ---------------------------------------------------------------------------------------- rooms


def test_rooms_are_joined_by_name(lobby: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that one may join are listed on request."""
    main(["register", "bob"])
    capsys.readouterr()
    assert main(["rooms", "--as", "bob", "--all", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["title"], json.loads(line)["role"]) == ("#lobby", None)
    assert main(["say", "lobby", "hello", "--as", "bob"]) == 1
    assert "you are in no room lobby; join it" in capsys.readouterr().err
    assert main(["join", "#LOBBY", "--as", "bob"]) == 0
    assert main(["say", "lobby", "hello", "--as", "bob"]) == 0


def test_a_room_is_one_line(lobby: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it is for."""
    assert main(["create", "ops", "--about", "a\n#fake\t0 unread"]) == 0
    capsys.readouterr()
    assert main(["rooms"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "#ops\t0 unread\t1 members\ta #fake 0 unread"
    ]


def test_a_direct_room_is_made_by_saying_something_there(
    lobby: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name is that of the other one."""
    main(["register", "bob"])
    assert main(["say", "@bob", "psst", "--as", "ada"]) == 0
    capsys.readouterr()
    assert main(["tail", "@ada", "--no-follow", "--as", "bob"]) == 0
    assert capsys.readouterr().out.endswith(" ada: psst\n")


@pytest.mark.parametrize("kept", ["[]", '{"tcp://a:1": ["ada"]}', "{", "\xff"])
def test_a_damaged_file_of_tokens_is_named(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: str
) -> None:
    """In one line, with what to do; nothing is written over it."""
    path = tmp_path / "home" / "tokens.json"
    path.parent.mkdir()
    path.write_text(kept, encoding="latin-1")
    assert main(["register", "ada"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert "mend it, or remove it" in line
    assert path.read_text(encoding="latin-1") == kept


def test_a_home_is_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the server that is started from another folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHAT_HOME", "here")
    assert home.data() == tmp_path / "here" / "data"


@pytest.mark.parametrize("http", ["127.0.0.1:x", "", "7080x"])
def test_a_place_for_browsers_is_a_host_and_a_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], http: str
) -> None:
    """What else is refused in one line."""
    assert main(["serve", "--data", str(tmp_path), "--url", "tcp://127.0.0.1:0", "--http", http])
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no HOST:PORT, as in 127.0.0.1:7080" in line


def test_what_is_no_database_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There may be several on a machine."""
    path = tmp_path / "chat.db"
    path.write_text("something else, and long enough to be looked at")
    assert main(["serve", "--data", str(tmp_path), "--url", "tcp://127.0.0.1:0"]) == 1
    assert capsys.readouterr().err == (
        f"chat serve: {path} cannot be used: file is not a database\n"
    )


# ------------------------------------------------------------------------------------- messages


def test_each_line_of_the_input_is_a_message(
    lobby: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blank ones are none."""
    reading, writing = os.pipe()
    os.write(writing, "one\n\n  two\nthrée".encode())
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as source:
        monkeypatch.setattr(sys, "stdin", source)
        assert main(["say", "lobby"]) == 0
    assert texts(capsys) == ["one", "  two", "thrée"]


def test_input_that_is_no_text_ends_it(
    lobby: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a sentence, and what was before it was said."""
    source = io.TextIOWrapper(io.BytesIO(b"one\n" + b" " * 10_000 + b"\n\xff\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", source)
    assert main(["say", "lobby"]) == 1
    assert "chat say: the input is no text" in capsys.readouterr().err
    assert texts(capsys) == ["one"]


def test_what_is_said_again_with_its_key_is_said_once(
    lobby: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that was interrupted may begin again."""
    for _ in range(2):
        assert main(["say", "lobby", "one", "word", "--key", "deploy-7"]) == 0
    assert texts(capsys) == ["one word"]


def test_what_is_refused_is_said_in_one_line(
    lobby: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why, and with a code of its own."""
    assert main(["say", "lobby", "x" * 5000]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("chat say: text")


def test_the_last_messages_are_as_many_as_asked_for(
    lobby: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also more than the server sends at once."""
    with framerpc.sync.connect(lobby.url, token=_token(lobby)) as client:
        for number in range(1, 251):
            client.call("Chat/say", 1, f"{number}", f"{number}")
    assert texts(capsys, "--last", "230") == [f"{number}" for number in range(21, 251)]
    assert texts(capsys, "--last", "2") == ["249", "250"]


def test_what_others_say_does_not_act_on_the_terminal(
    lobby: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """No colours, no moving of the cursor, no text that runs backwards."""
    main(["say", "lobby", "a\x1b[2Jb\u202ec\nd"])
    (first, second) = tail(capsys)
    assert first.endswith("ada: a\ufffd[2Jb\ufffdc")
    assert second == "    d"


def test_a_file_goes_there_and_back(
    lobby: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its id is what `send` prints."""
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 1000)
    assert main(["send", "lobby", str(tmp_path / "a.bin"), "--text", "look"]) == 0
    number = capsys.readouterr().out.strip()
    assert tail(capsys)[0].endswith(f"ada: look [file {number}: a.bin, 256 kB]")
    assert main(["fetch", number, "-o", str(tmp_path / "b.bin")]) == 0
    assert (tmp_path / "b.bin").read_bytes() == (tmp_path / "a.bin").read_bytes()
    assert main(["fetch", "999", "-o", str(tmp_path / "c.bin")]) == 1
    assert "there is no file 999" in capsys.readouterr().err
    assert not (tmp_path / "c.bin").exists()


def test_progress_leaves_its_line(
    lobby: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What comes after it stands on a line of its own, also if it does not know the end."""
    (tmp_path / "a.bin").write_bytes(b"a" * 1000)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for words in (["send", "lobby", str(tmp_path / "a.bin")], ["fetch", "1", "-o", "b.bin"]):
        monkeypatch.chdir(tmp_path)
        assert main(words) == 0
        assert capsys.readouterr().err.endswith("\x1b[K\n")


def _token(place: Place) -> str:
    kept = json.loads((Path(os.environ["CHAT_HOME"]) / "tokens.json").read_text())
    token: str = kept[place.url]["ada"]
    return token


@contextlib.contextmanager
def _running(*words: str) -> Generator[subprocess.Popen[str]]:
    """Run a subcommand in a process."""
    command = [sys.executable, "-m", "examples.chat", *words]
    root, pipe = Path(__file__).parents[3], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.timeout(60)  # two processes that find a server again
def test_a_restart_of_the_server_neither_loses_nor_doubles_a_line(lobby: Place) -> None:
    """Neither of those that are said nor of those that are printed."""
    with _running("tail", "lobby", "--json") as tailing, _running("say", "lobby") as saying:
        assert tailing.stdout is not None
        assert saying.stdin is not None
        heard = (json.loads(line)["text"] for line in tailing.stdout)

        def say(*texts: str) -> None:
            assert saying.stdin is not None
            saying.stdin.writelines(f"{text}\n" for text in texts)
            saying.stdin.flush()

        say("1")
        assert next(heard) == "1"
        lobby.stop()
        say("2", "3", "4")
        lobby.start()
        assert [next(heard) for _ in range(3)] == ["2", "3", "4"]
        say("5")
        assert next(heard) == "5"
        saying.stdin.close()
        assert saying.wait(20) == 0
