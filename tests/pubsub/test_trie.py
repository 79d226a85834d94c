"""Finding the subscriptions that match a topic, at a cost that others do not raise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framerpc.pubsub.topics import matches
from framerpc.pubsub.trie import PatternTrie
from tests.pubsub.test_topics import PATTERNS, TOPICS


@given(st.lists(st.tuples(PATTERNS, st.integers(0, 3), st.booleans()), max_size=30), TOPICS)
def test_a_trie_finds_what_matches(steps: list[tuple[str, int, bool]], topic: str) -> None:
    """After any adding and discarding, also between looks, the match is that of a plain search."""
    trie: PatternTrie[int] = PatternTrie(remembered=2)
    model: set[tuple[str, int]] = set()
    for pattern, value, adding in steps:
        if adding:
            assert trie.add(pattern, value) == ((pattern, value) not in model)
            model.add((pattern, value))
        else:
            assert trie.discard(pattern, value) == ((pattern, value) in model)
            model.discard((pattern, value))
        for asked in {topic, "a.b", "$.a"}:
            expected = sorted(value for pattern, value in model if matches(pattern, asked))
            assert sorted(trie.match(asked)) == expected
    assert len(trie) == len(model)


def test_others_cost_nothing() -> None:
    """20,000 subscriptions to other topics add not one node to the walk of a match."""
    trie: PatternTrie[int] = PatternTrie()
    for number, pattern in enumerate(("news.sport", "news.*", "news.>")):
        trie.add(pattern, number)
    assert trie.match("news.sport") == (2, 1, 0)
    alone = trie.visited
    for number in range(5000):
        trie.add(f"other{number}.sport", number)
        trie.add(f"news.other{number}", number)
        trie.add(f"*.other{number}.sport", number)
        trie.add(f"other{number}.>", number)
    before = trie.visited
    assert trie.match("news.sport") == (2, 1, 0)
    assert trie.visited - before <= alone + 1  # the one branch `*` of all others together


def test_a_hot_topic_is_not_looked_up_again() -> None:
    """A second match visits nothing, also after a subscription to another topic."""
    trie: PatternTrie[str] = PatternTrie()
    trie.add("news.*", "a")
    trie.match("news.sport")
    before = trie.visited
    trie.add("weather", "b")
    trie.discard("weather", "b")
    assert trie.match("news.sport") == ("a",)
    assert trie.visited == before


def test_what_is_remembered_is_bounded() -> None:
    """A flood of topics does not fill the memory."""
    trie: PatternTrie[str] = PatternTrie(remembered=10)
    trie.add(">", "all")
    for number in range(1000):
        assert trie.match(f"t{number}") == ("all",)
    assert len(trie._cache) <= 10


def test_nothing_is_left_of_what_was_discarded() -> None:
    """Branches go with their last value, so that churn does not fill the memory."""
    trie: PatternTrie[int] = PatternTrie()
    for pattern in ("a.b.c", "a.*.c", "a.b.>", ">"):
        trie.add(pattern, 1)
    for pattern in ("a.b.c", "a.*.c", "a.b.>", ">"):
        assert trie.discard(pattern, 1)
        assert not trie.discard(pattern, 1)
    assert not trie._root
    assert repr(trie) == "<PatternTrie values=0 remembered=0>"
