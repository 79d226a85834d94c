"""protocol.md, "Several servers", says what the code does."""

from __future__ import annotations

import dataclasses

from framerpc.balancing.accrual import TRANSITIONS
from framerpc.balancing.candidate import Candidate
from framerpc.balancing.endpoint import MAX_WEIGHT, Endpoint
from framerpc.balancing.hashing import rendezvous
from framerpc.config import BalancingPolicy
from tests.balancing.kit import OFF
from tests.protocol import spec

HEALTH, OPTIONS, HOMES = spec.tables("Several servers")


def test_the_table_of_health_is_the_code_s() -> None:
    """Each row is a transition, and each transition a row."""
    printed = {(row["health"], row["news"]): row["becomes"] for row in HEALTH}
    assert printed == {
        (health.value, news.value): becomes.value
        for health, row in TRANSITIONS.items()
        for news, becomes in row.items()
    }


def test_every_threshold_stands_there_with_its_default() -> None:
    """All numbers of the policy are printed, in order."""
    defaults = dataclasses.asdict(BalancingPolicy())
    del defaults["is_failure"]  # no number
    assert [(row["option"], float(row["default"])) for row in OPTIONS] == [*defaults.items()]


def test_the_largest_weight() -> None:
    """It is the number in the text."""
    assert f"from 1 (the default) to {MAX_WEIGHT:,}" in spec.section("Several servers")


def test_homes_of_keys() -> None:
    """The examples are what the code computes."""
    for row in HOMES:
        urls = row["endpoints"].split("`, `")
        among = [Candidate(Endpoint(url), OFF) for url in urls]
        _, home = rendezvous(among, row["key"], 1.25, 8)
        assert home.endpoint.url == row["home"]
