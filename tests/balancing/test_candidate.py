"""Candidates: slow start, reports, and choices that can say why."""

from __future__ import annotations

import pytest

from framerpc.balancing.candidate import Candidate, Choice, Standing
from framerpc.balancing.endpoint import Endpoint
from framerpc.config import BalancingPolicy

A = Endpoint("memory://a", 2)
POLICY = BalancingPolicy(failures=1, slow_start=10.0, slow_start_share=0.1, ejection=4.0)


class Least:
    def random(self) -> float:
        return 0.0


def test_an_endpoint_of_the_first_set_starts_in_full() -> None:
    """The first time that it is ready, it gets its whole share."""
    candidate = Candidate(A, POLICY)
    candidate.set_ready(True, 5.0)
    assert candidate.share(5.0) == 1.0


def test_an_endpoint_that_returns_starts_slowly() -> None:
    """It begins with a tenth, has half after half of the time, and all at its end."""
    candidate = Candidate(A, POLICY)
    for ready in (True, False, True):
        candidate.set_ready(ready, 5.0)
    assert [candidate.share(5.0 + t) for t in (0, 1, 5, 9, 10)] == [0.1, 0.1, 0.5, 0.9, 1.0]


def test_a_new_endpoint_starts_slowly() -> None:
    """It came when others were warm."""
    candidate = Candidate(A, POLICY, warm=False)
    candidate.set_ready(True, 5.0)
    assert candidate.share(10.0) == 0.5


def test_slow_start_can_be_off() -> None:
    """Then everybody always gets all."""
    candidate = Candidate(A, BalancingPolicy(slow_start=None), warm=False)
    candidate.set_ready(True, 5.0)
    assert candidate.share(5.0) == 1.0


def test_a_share_is_spread_evenly() -> None:
    """At half of its share, every second call is let through."""
    candidate = Candidate(A, POLICY, warm=False)
    candidate.set_ready(True, 0.0)
    assert [candidate.admits(5.0) for _ in range(6)] == [False, True] * 3


def test_standings() -> None:
    """Connecting, warming, ready, ejected, probing: in one word each."""
    candidate = Candidate(A, POLICY, warm=False)
    assert candidate.report(0.0).standing is Standing.CONNECTING
    candidate.set_ready(True, 0.0)
    assert candidate.report(9.0).standing is Standing.WARMING
    assert candidate.report(10.0).standing is Standing.READY
    candidate.accrual.failed(10.0, 10.0, 0, Least())
    assert candidate.report(10.0).standing is Standing.EJECTED
    candidate.accrual.probe(12.0)
    assert candidate.report(12.0).standing is Standing.PROBING


def test_a_report_has_the_numbers() -> None:
    """What was observed, and until when it is out."""
    candidate = Candidate(A, POLICY)
    candidate.set_ready(True, 0.0)
    candidate.load.began()
    candidate.accrual.failed(1.0, 1.0, 0, Least())
    report = candidate.report(1.0)
    assert (report.url, report.weight, report.in_flight, report.calls) == ("memory://a", 2, 1, 1)
    assert (report.latency, report.share, report.ready) == (None, 1.0, True)
    assert (report.ejected_until, report.ejections) == (3.0, 1)


def test_a_trusted_endpoint_is_not_ejected_until_any_time() -> None:
    """There is no number to be misread."""
    assert Candidate(A, POLICY).report(0.0).ejected_until is None


def test_a_reason_is_made_when_it_is_asked_for() -> None:
    """It is the note, then what the picker said, filled in; braces in facts stay."""
    choice = Choice(Candidate(A, POLICY), "{} because {!r}", 1, "{x}")
    choice.note = "{y}: "
    assert choice.reason == "{y}: 1 because '{x}'"
    assert repr(choice) == "<Choice of memory://a?weight=2: {y}: 1 because '{x}'>"


@pytest.mark.parametrize("text", ["", "room-1", "é"])
def test_the_seed_depends_on_the_url_alone(text: str) -> None:
    """Weight and attributes do not move keys to another endpoint."""
    url = f"memory://{text}"
    assert Candidate(Endpoint(url), POLICY).seed == Candidate(Endpoint(url, 9), POLICY).seed
