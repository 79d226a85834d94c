"""Names of topics and patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framerpc.errors import InvalidArgument
from framerpc.pubsub.topics import check_pattern, check_topic, is_pattern, matches
from tests.protocol import spec

TOKENS = st.text(st.sampled_from("ab$é"), min_size=1, max_size=2)
TOPICS = st.lists(TOKENS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.lists(st.one_of(TOKENS, st.just("*")), min_size=1, max_size=4).flatmap(
    lambda tokens: st.sampled_from([".".join(tokens), ".".join([*tokens, ">"])])
)

BAD = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a b",
    "a\tb",
    "a\r\nPUB x 1",
    "a\0b",
    "a\x7fb",
    "a\u2028b",
    "a\u00a0b",
    "a\ud800b",
    "x" * 256,
    "é" * 128,
    "x" * 65536,
    ".".join("a" * 33),
]


@pytest.mark.parametrize("name", BAD, ids=lambda name: repr(name[:12]))
def test_bad_names_are_refused_as_topic_and_as_pattern(name: str) -> None:
    """A name that could confuse an engine, or cost much, is an error of its call."""
    for check in (check_topic, check_pattern):
        with pytest.raises(InvalidArgument):
            check(name)


@pytest.mark.parametrize("name", [None, 7, b"news", ["news"]])
def test_names_are_text(name: object) -> None:
    """What is not text is refused, whatever it is."""
    with pytest.raises(InvalidArgument, match="must be text"):
        check_topic(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["*", ">", "a.*", "a.>", "a*", "a.b>c"])
def test_a_topic_has_no_wildcard(name: str) -> None:
    """Nobody publishes to a pattern."""
    with pytest.raises(InvalidArgument, match="is a pattern"):
        check_topic(name)


@pytest.mark.parametrize("name", ["a*", "*a.b", "a.>.b", ">.a", "a.b>", "**", ">>"])
def test_a_wildcard_is_a_whole_token(name: str) -> None:
    """A wildcard is a token of its own, and `>` the last one."""
    with pytest.raises(InvalidArgument, match="token"):
        check_pattern(name)


@pytest.mark.parametrize("name", ["a", "x" * 255, ".".join("a" * 32), "é.ü", "$sys.x", "A-b_c:d/e"])
def test_good_names_pass_up_to_the_limits(name: str) -> None:
    """255 bytes and 32 tokens are allowed, and all letters."""
    check_topic(name)
    check_pattern(name)
    assert not is_pattern(name)


def test_the_table_of_the_protocol() -> None:
    """Each example in protocol.md matches, or not, as it says."""
    rows = re.findall(
        r"^\| (`.*) \| (`.*) \| (`.*) \|$", spec.section("Names of topics"), re.MULTILINE
    )
    assert len(rows) > 4
    for row in rows:
        (pattern,), good, bad = (re.findall("`([^`]+)`", cell) for cell in row)
        assert [topic for topic in good if not matches(pattern, topic)] == [], pattern
        assert [topic for topic in bad if matches(pattern, topic)] == [], pattern


@given(TOPICS)
def test_a_topic_matches_itself(topic: str) -> None:
    """A topic as a pattern matches that topic."""
    check_topic(topic)
    assert matches(topic, topic)


@given(PATTERNS, TOPICS)
def test_matching_is_what_the_text_says(pattern: str, topic: str) -> None:
    """Tokens are compared in pairs; `*` takes one, `>` the rest, neither one that begins with $."""
    check_pattern(pattern)
    want, have = pattern.split("."), topic.split(".")
    reserved = topic.startswith("$") and want[0] in {"*", ">"}
    if want[-1] == ">":
        fits = len(have) >= len(want)
        want.pop()
    else:
        fits = len(have) == len(want)
    same = all(w in {"*", h} for w, h in zip(want, have, strict=False))
    assert matches(pattern, topic) == (fits and same and not reserved)
