"""A watched file: what it names, when a change is taken over, and what is told when it is wrong."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc import ConfigurationError
from framerpc.resolvers.file import FileResolver, parse_endpoints
from framerpc.testing import virtual_time
from tests.resolvers.kit import urls, watching

if TYPE_CHECKING:
    from framerpc.resolvers import Resolution

# ----------------------------------------------------------------- what it names


def names(text: str) -> list[str]:
    """Return what a file of this text names."""
    return [str(each) for each in parse_endpoints("hosts", text.encode())]


def test_one_address_a_line() -> None:
    """With weights, comments, empty lines, spaces and foreign ends of lines."""
    text = """
# the first two are large
tcp://10.0.0.1:7000?weight=3\t# here
  tcp://10.0.0.2:7000?weight=3

unix:///run/a#1.sock\r
"""
    assert names(text) == [
        "tcp://10.0.0.1:7000?weight=3",
        "tcp://10.0.0.2:7000?weight=3",
        "unix:///run/a#1.sock",
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("tcp://a:1\ngarbage\n", 2, "unknown address 'garbage'"),
        ("tcp://a:1\n\ntcp://b:1?weight=0\n", 3, "at least 1"),
        ("tcp://a:1?wait=3\n", 1, "option 'wait'"),
        ("tcp://a:1\ntcp://a:1?weight=2\n", 2, "tcp://a:1 is named twice"),
        ("tcp://a:1\ntcp://b:1", 2, "the last line has no end"),
        ("tcp://a:1\ntcp://b:", 2, "bad address"),
        ("tcp://a:1\n\udcff\n", 2, "utf-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, problem: str) -> None:
    """So that it can be found."""
    with pytest.raises(ConfigurationError) as caught:
        parse_endpoints("hosts", text.encode(errors="surrogateescape"))
    assert str(caught.value).startswith(f"hosts:{line}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "# none yet\n", "# none yet"])
def test_a_file_that_names_nobody_is_wrong(text: str) -> None:
    """It may be half written, and is never an order to leave everybody."""
    with pytest.raises(ConfigurationError, match="hosts names no endpoint"):
        names(text)


def test_a_huge_file_is_wrong() -> None:
    """It is not even looked through."""
    with pytest.raises(ConfigurationError, match="longer than 1048576 bytes"):
        parse_endpoints("hosts", bytes(1_048_577))


@given(st.binary(max_size=200))
def test_any_bytes_are_endpoints_or_an_error(data: bytes) -> None:
    """Nothing else comes out."""
    try:
        assert parse_endpoints("hosts", data)
    except ConfigurationError as error:
        assert str(error).startswith("hosts")


@given(st.integers(0, 60))
def test_a_file_cut_inside_a_line_is_wrong(cut: int) -> None:
    """No prefix is taken that ends within an address: it might be another one."""
    data = b"tcp://10.0.0.1:7000\ntcp://10.0.0.2:7000\n"[:cut]
    try:
        found = parse_endpoints("hosts", data)
    except ConfigurationError:
        return
    assert data.endswith(b"\n")
    assert {str(each) for each in found} <= {"tcp://10.0.0.1:7000", "tcp://10.0.0.2:7000"}


# ----------------------------------------------------------------- when it is looked at


def replace(path: Path, text: str) -> None:
    """Write a new file beside it and rename that over it, as one should."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that names memory://a."""
    made = tmp_path / "hosts"
    made.write_text("memory://a\n")
    return made


def problem(resolution: Resolution) -> str:
    return str(resolution.problem)


@virtual_time
async def test_a_change_is_taken_over(path: Path) -> None:
    """At the next look, when the file has stood still for a tenth of a second."""
    async with watching(FileResolver(path)) as watcher:
        await asyncio.sleep(3)
        replace(path, "memory://a\nmemory://b?weight=2\n")
        await asyncio.sleep(3)
        assert watcher.times == [0.0, 4.1]
        assert urls(watcher.last) == ["memory://a", "memory://b?weight=2"]


@virtual_time
async def test_a_url_is_a_path(path: Path) -> None:
    """As a command line has it."""
    async with watching(FileResolver(f"file://{path}")) as watcher:
        await asyncio.sleep(1)
        assert urls(watcher.last) == ["memory://a"]


@virtual_time
async def test_a_file_that_stays_is_not_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at a file that has not changed does not open it."""
    opened: list[Path] = []
    original = Path.open

    def open_(self: Path, *args: Any) -> Any:
        opened.append(self)
        return original(self, *args)

    monkeypatch.setattr(Path, "open", open_)
    async with watching(FileResolver(path)) as watcher:
        await asyncio.sleep(60)
        assert watcher.times == [0.0]
    assert opened == [path]


@virtual_time
async def test_the_same_size_is_no_hiding_place(path: Path) -> None:
    """A change that keeps the size is found by its time, or by the identity of a new file."""
    async with watching(FileResolver(path)) as watcher:
        await asyncio.sleep(1)
        replace(path, "memory://b\n")
        await asyncio.sleep(4)
        assert urls(watcher.last) == ["memory://b"]
        path.write_text("memory://c\n")
        os.utime(path, ns=(1, 1))  # the file system's clock may be coarser than this test
        await asyncio.sleep(4)
        assert urls(watcher.last) == ["memory://c"]


@virtual_time
async def test_a_broken_file_takes_nothing_away(path: Path) -> None:
    """It is told, with file and line, and mended by the next good one."""
    async with watching(FileResolver(path)) as watcher:
        await asyncio.sleep(1)
        replace(path, "memory://b\nnonsense\n")
        await asyncio.sleep(60)
        assert urls(watcher.last) == ["memory://a"]
        assert problem(watcher.last).startswith(f"{path}:2: unknown address")
        assert len(watcher.heard) == 2
        replace(path, "memory://b\n")
        await asyncio.sleep(4)
        assert urls(watcher.last) == ["memory://b"]
        assert watcher.last.problem is None


@virtual_time
async def test_a_missing_file_takes_nothing_away(path: Path) -> None:
    """Nor does it end the watch: when it is back, it counts."""
    async with watching(FileResolver(path)) as watcher:
        await asyncio.sleep(1)
        path.rename(path.with_suffix(".away"))
        await asyncio.sleep(4)
        assert urls(watcher.last) == ["memory://a"]
        assert "cannot be read: No such file" in problem(watcher.last)
        path.with_suffix(".away").rename(path)
        await asyncio.sleep(4)
        assert watcher.last.problem is None


@virtual_time
async def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    """There is a problem at first, and endpoints when it comes."""
    path = tmp_path / "hosts"
    async with watching(FileResolver(path)) as watcher:
        await asyncio.sleep(5)
        assert watcher.last.endpoints == ()
        assert "No such file" in problem(watcher.last)
        path.write_text("memory://a\n")
        await asyncio.sleep(2.5)
        assert urls(watcher.last) == ["memory://a"]


@virtual_time
async def test_a_file_that_is_being_written_is_not_taken(path: Path) -> None:
    """Line after line, faster than it is looked at: only the whole is taken over."""
    async with watching(FileResolver(path, interval=0.5, pause=0.5)) as watcher:
        await asyncio.sleep(1.2)
        with path.open("w") as file:
            for letter in "abcdefghijklmnopqrstuvwxyz":
                file.write(f"memory://{letter}\n")
                file.flush()
                await asyncio.sleep(0.0625)
        await asyncio.sleep(2)
        sizes = {len(resolution.endpoints) for _, resolution in watcher.heard}
        assert sizes == {1, 26}
        problems = {problem(resolution) for _, resolution in watcher.heard}
        assert problems == {"None", f"{path} is being written"}


@virtual_time
async def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """It is told as any other trouble of the system's."""
    async with watching(FileResolver(tmp_path)) as watcher:
        await asyncio.sleep(1)
        assert "Is a directory" in problem(watcher.last)


@pytest.mark.parametrize("path", ["", "file://"])
def test_an_empty_path_is_refused(path: str) -> None:
    """When the resolver is made."""
    with pytest.raises(ConfigurationError, match="names no file"):
        FileResolver(path)
