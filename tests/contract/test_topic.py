"""Topics with a type: how they are declared, filled, encoded and decoded."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from framerpc.contract.topic import Topic, encode_message, topic_of
from framerpc.errors import ConfigurationError, InvalidArgument


@dataclass
class Score:
    points: int


def test_the_type_stands_in_the_brackets_or_is_an_argument() -> None:
    """Both ways declare the same; without a type, messages are what msgpack says."""
    body = encode_message(Score(3))
    assert Topic[Score]("t").decode(body) == Topic("t", Score).decode(body) == Score(3)
    anything: Topic[Any] = Topic("t")
    assert anything.decode(body) == {"points": 3}
    assert (str(anything), "of" in repr(anything)) == ("t", True)


def test_a_pattern_is_filled_to_a_topic_of_the_same_type() -> None:
    """`at` puts tokens into the places of the wildcards, and refuses too few or too many."""
    scores = Topic[Score]("scores.*.of.>")
    filled = scores.at("tennis", "ada", "today")
    assert (filled.name, filled.type) == ("scores.tennis.of.ada.today", Score)
    for tokens in ((), ("a",)):
        with pytest.raises(ConfigurationError, match="cannot be filled"):
            scores.at(*tokens)
    with pytest.raises(ConfigurationError, match="cannot be filled"):
        Topic[int]("plain").at("a")


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x81\xa6points\xa1x", b"\x91" * 100_000])
def test_what_does_not_fit_says_where(body: bytes) -> None:
    """Bytes that are no message of the type raise InvalidArgument that names the topic."""
    with pytest.raises(InvalidArgument, match="a message of t does not fit"):
        Topic[Score]("t").decode(body)


def test_types_that_cannot_cross_are_refused() -> None:
    """A type that nobody can build from bytes is a mistake of the declaration."""
    with pytest.raises(ConfigurationError, match="the type of the topic t"):
        Topic[threading.Thread]("t").prepare()
    with pytest.raises(ConfigurationError, match="a str or a Topic"):
        topic_of(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidArgument, match="cannot be encoded"):
        encode_message(threading.current_thread())


def test_a_type_that_is_given_overrules_the_declared() -> None:
    """`topic_of` keeps a declared topic, unless another type is asked for."""
    declared = Topic[Score]("t")
    assert topic_of(declared) is declared
    assert topic_of(declared, dict).type is dict
    assert topic_of("t").type is Any
