"""The names of topics and the patterns that match them.

A topic is one to 32 tokens separated by dots, at most 255 bytes of UTF-8. In a pattern, `*`
stands for exactly one token and `>`, only as its last token, for one or more. A pattern that
begins with a wildcard does not match topics that begin with `$`: those are the server's own.

What a topic means, and who may use it, is not known here.

Spec: protocol.md, "Names of topics".
"""

from __future__ import annotations

from typing import Final

from framerpc.errors import InvalidArgument

__all__ = [
    "ANY",
    "MAX_TOKENS",
    "MAX_TOPIC",
    "REST",
    "check_pattern",
    "check_topic",
    "is_pattern",
    "is_reserved",
    "matches",
    "tokens_match",
]

ANY: Final = "*"
"""The token of a pattern that stands for any one token."""

REST: Final = ">"
"""The last token of a pattern that stands for one or more tokens."""

MAX_TOPIC: Final = 255
"""Longest topic or pattern, in bytes of UTF-8. As in centrifuge."""

MAX_TOKENS: Final = 32
"""Most tokens of a topic or pattern: what a match may cost."""


def check_topic(name: str) -> None:
    """Refuse what is not the name of one topic.

    Raises:
        InvalidArgument: It is empty, too long, has an empty token, a wildcard, white space or a
            character that cannot be printed; the detail says what.
    """
    _check(name, "topic")
    if is_pattern(name):
        raise InvalidArgument(f"{name!r} is a pattern, a topic has neither {ANY!r} nor {REST!r}")


def check_pattern(pattern: str) -> None:
    """Refuse what is neither a topic nor a pattern.

    Raises:
        InvalidArgument: As for `check_topic`, but wildcards may be whole tokens, `>` the last.
    """
    tokens = _check(pattern, "pattern")
    for place, token in enumerate(tokens, 1):
        if token == REST and place < len(tokens):
            raise InvalidArgument(f"pattern {pattern!r}: {REST!r} may only be the last token")
        if len(token) > 1 and (ANY in token or REST in token):
            raise InvalidArgument(f"pattern {pattern!r}: a wildcard must be a whole token")


def _check(name: object, what: str) -> list[str]:
    if not isinstance(name, str):
        raise InvalidArgument(f"a {what} must be text, got {type(name).__name__}")
    # Before anything that costs time: a byte is at most one character.
    if not name or len(name) > MAX_TOPIC:
        raise InvalidArgument(f"a {what} has 1 to {MAX_TOPIC} bytes, got {len(name)} characters")
    if not name.isprintable() or " " in name:  # surrogates are not printable, either
        raise InvalidArgument(f"{what} {name!r}: white space and control characters are forbidden")
    if len(name.encode()) > MAX_TOPIC:
        raise InvalidArgument(f"a {what} has 1 to {MAX_TOPIC} bytes, got {len(name.encode())}")
    tokens = name.split(".")
    if len(tokens) > MAX_TOKENS:
        raise InvalidArgument(f"a {what} has at most {MAX_TOKENS} tokens, got {len(tokens)}")
    if "" in tokens:
        raise InvalidArgument(f"{what} {name!r}: a token between dots is empty")
    return tokens


def is_pattern(name: str) -> bool:
    """Return whether a checked name can match more than the topic of that name."""
    return ANY in name or REST in name


def is_reserved(name: str) -> bool:
    """Return whether a topic is the server's own: only the server publishes to it."""
    return name.startswith("$")


def matches(pattern: str, topic: str) -> bool:
    """Return whether a checked pattern matches a checked topic."""
    return pattern == topic or tokens_match(pattern.split("."), topic.split("."))


def tokens_match(pattern: list[str], topic: list[str]) -> bool:
    """Return whether the tokens of a pattern match those of a topic."""
    if pattern[0] in {ANY, REST} and is_reserved(topic[0]):
        return False
    if pattern[-1] == REST:
        pattern = pattern[:-1]
        if len(topic) <= len(pattern):
            return False
    elif len(topic) != len(pattern):
        return False
    return all(want in (ANY, token) for want, token in zip(pattern, topic, strict=False))
