"""Which subscriptions match a topic: a trie of tokens, and a memory of recent answers.

A match walks down the tokens of the topic. At each it follows at most two branches, the token
itself and `*`, so that subscriptions to other topics cost nothing, however many there are.
Topics that are published to again and again are not even looked up: their subscribers are
remembered until a subscription changes that could match them.

What the values are is not known here.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from framerpc.pubsub.topics import ANY, REST, is_pattern, is_reserved

__all__ = ["PatternTrie"]

T = TypeVar("T")


class _Node(Generic[T]):
    """What is subscribed below one prefix of tokens."""

    __slots__ = ("children", "rest", "values")

    def __init__(self) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.values: dict[T, None] = {}  # ends here; a dict, so that the order is that of adding
        self.rest: dict[T, None] = {}  # `>` ends here

    def __bool__(self) -> bool:
        return bool(self.children or self.values or self.rest)


class PatternTrie(Generic[T]):
    """Values under patterns, found by topic.

    Args:
        remembered: Topics whose matches are remembered, at most.

    Attributes:
        visited: Nodes looked at by all matches so far; what matching costs, for tests and
            statistics.
    """

    __slots__ = ("_cache", "_count", "_remembered", "_root", "visited")

    def __init__(self, remembered: int = 10_000) -> None:
        self._root: _Node[T] = _Node()
        self._count = 0
        self._remembered = remembered
        self._cache: dict[str, tuple[T, ...]] = {}
        self.visited = 0

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<PatternTrie values={self._count} remembered={len(self._cache)}>"

    def add(self, pattern: str, value: T) -> bool:
        """Put a value under a checked pattern; return whether it was not there yet."""
        node = self._root
        tokens = pattern.split(".")
        for token in tokens[:-1] if tokens[-1] == REST else tokens:
            child = node.children.get(token)
            if child is None:
                child = node.children[token] = _Node()
            node = child
        values = node.rest if tokens[-1] == REST else node.values
        if value in values:
            return False
        values[value] = None
        self._count += 1
        self._forget(pattern)
        return True

    def discard(self, pattern: str, value: T) -> bool:
        """Take a value away; return whether it was there. Branches that are empty go with it."""
        node = self._root
        path: list[tuple[_Node[T], str]] = []
        tokens = pattern.split(".")
        for token in tokens[:-1] if tokens[-1] == REST else tokens:
            child = node.children.get(token)
            if child is None:
                return False
            path.append((node, token))
            node = child
        values = node.rest if tokens[-1] == REST else node.values
        if value not in values:
            return False
        del values[value]
        self._count -= 1
        self._forget(pattern)
        while path and not node:
            node, token = path.pop()
            del node.children[token]
        return True

    def match(self, topic: str) -> tuple[T, ...]:
        """Return the values under all patterns that match a checked topic.

        A value that stands under several of these patterns comes several times.
        """
        found = self._cache.get(topic)
        if found is None:
            if len(self._cache) >= self._remembered:
                self._cache.clear()  # cheaper, on the whole, than to know which one to forget
            found = self._cache[topic] = tuple(self._walk(topic.split(".")))
        return found

    def _walk(self, tokens: list[str]) -> list[T]:
        found: list[T] = []
        level = [self._root]
        wild = not is_reserved(tokens[0])  # the server's own topics are asked for by name
        for token in tokens:
            below: list[_Node[T]] = []
            for node in level:
                self.visited += 1
                if wild:
                    found.extend(node.rest)
                    if (star := node.children.get(ANY)) is not None:
                        below.append(star)
                if (child := node.children.get(token)) is not None:
                    below.append(child)
            level, wild = below, True
            if not level:
                break
        for node in level:
            self.visited += 1
            found.extend(node.values)
        return found

    def _forget(self, pattern: str) -> None:
        """Forget the remembered answers that a change under `pattern` could make wrong."""
        if is_pattern(pattern):
            self._cache.clear()
        else:
            self._cache.pop(pattern, None)
