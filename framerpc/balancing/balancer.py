"""Which endpoint gets a call: membership, readiness and trust above, a picker below.

    choice = balancer.pick(now, key)      # None: nobody is ready; wait for a connection
    balancer.began(choice, now)           # the call leaves
    balancer.ended(choice, now, error)    # exactly once, also if it never began

The balancer decides which endpoints can be used at all, and the picker chooses among these.
What can be used changes rarely (an endpoint comes, connects, is ejected, is due for a probe),
so it is worked out then and not at each pick; `_wake` is when time alone changes it next.

It does no I/O and keeps no task: whoever dials tells it who is ready.

Spec: protocol.md, "Several servers".
"""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from framerpc.balancing.accrual import Chance, Health
from framerpc.balancing.candidate import Candidate, Choice, Report
from framerpc.balancing.load import Outcome
from framerpc.balancing.outcomes import outcome_of
from framerpc.balancing.pickers import Picker, picker_named
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from framerpc.balancing.endpoint import Endpoint
    from framerpc.config import BalancingPolicy

__all__ = ["Balancer", "Change"]


class Change(NamedTuple):
    """What a new set of endpoints changed.

    Attributes:
        added: To dial.
        removed: To leave, gently: calls may be in flight.
    """

    added: tuple[Endpoint, ...]
    removed: tuple[Endpoint, ...]


class Balancer:
    """Spreads the calls of one client over its endpoints. Times are loop time, in seconds.

    Args:
        picker: Its name, see `PICKERS`, or one of your own.
        policy: When to stop trusting an endpoint, and the other thresholds.
        chance: Where chance comes from: a `random.Random`.

    Raises:
        ConfigurationError: There is no such picker.
    """

    def __init__(self, picker: str | Picker, policy: BalancingPolicy, chance: Chance) -> None:
        if isinstance(picker, str):
            picker = picker_named(picker, policy)
        elif not isinstance(picker, Picker):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                f"balance must be the name of a picker, or a framerpc.Picker; got {picker!r}"
            )
        self.ignored = 0  # endpoints beyond `max_endpoints` in the last update
        self.ejected = 0  # how often an endpoint was ejected, ever
        self._picker = picker
        self._policy = policy
        self._chance = chance
        self._candidates: dict[str, Candidate] = {}
        self._begun = False  # there was a set of endpoints before
        self._usable: list[Candidate] = []
        self._steady: list[Candidate] = []  # those of them that are past their slow start
        self._panic = False
        self._wake = -inf

    def __repr__(self) -> str:
        ready = sum(candidate.ready for candidate in self._candidates.values())
        return f"<Balancer of {len(self._candidates)} endpoints, {ready} ready>"

    # ------------------------------------------------------------------ membership

    def update(self, endpoints: Iterable[Endpoint]) -> Change:
        """Take over a new set of endpoints, and return what it changed.

        An endpoint is the same as before if its `url` is. Of several with one `url` the first
        counts.
        """
        wanted: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            wanted.setdefault(endpoint.url, endpoint)
        most = self._policy.max_endpoints
        self.ignored = max(0, len(wanted) - most)
        wanted = dict(islice(wanted.items(), most))
        known = self._candidates
        removed = tuple(each.endpoint for url, each in known.items() if url not in wanted)
        added = tuple(each for url, each in wanted.items() if url not in known)
        self._candidates = {
            url: known.get(url) or Candidate(endpoint, self._policy, warm=not self._begun)
            for url, endpoint in wanted.items()
        }
        for url, endpoint in wanted.items():
            self._candidates[url].replace(endpoint)
        self._begun = self._begun or bool(wanted)
        self._usable = []  # the picker hears of it, also if only a weight has changed
        self._wake = -inf
        return Change(added, removed)

    def set_ready(self, endpoint: Endpoint, ready: bool, now: float) -> None:  # noqa: FBT001
        """Hear that an endpoint has a connection that takes calls, or no longer.

        Ignored for an endpoint that is no longer one.
        """
        candidate = self._candidates.get(endpoint.url)
        if candidate is not None and candidate.ready is not ready:
            candidate.set_ready(ready, now)
            self._wake = -inf

    # ----------------------------------------------------------------------- calls

    def pick(
        self, now: float, key: str | None = None, exclude: Collection[Endpoint] = ()
    ) -> Choice | None:
        """Choose an endpoint for one call.

        Each choice must be given back with `ended`.

        Args:
            now: Loop time, in seconds.
            key: The routing key, for pickers that are sticky.
            exclude: Endpoints that will not do: a retry should go elsewhere.

        Returns:
            The choice; None if no endpoint is ready, or all that are ready are excluded.
        """
        if now >= self._wake:
            self._refresh(now)
        usable = self._usable
        if exclude:
            usable = _without(usable, exclude)
        if not usable:
            return None
        choice = self._picker.pick(usable, now, key, self._chance)
        candidate = choice.candidate
        if now < candidate.warm_at and not (self._picker.sticky and key is not None):
            choice = self._start_slowly(choice, now, key, exclude)
            candidate = choice.candidate
        if candidate.accrual.health is not Health.TRUSTED and candidate.accrual.due(now):
            choice.probe = candidate.accrual.probe(now)
            choice.note += "a probe after its ejection; "
            self._wake = -inf
        if self._panic:
            choice.note += "too few look healthy, so all are used; "
        return choice

    def began(self, choice: Choice, now: float) -> None:
        """Note that the call leaves for the endpoint that was chosen."""
        choice.started = now
        choice.candidate.load.began()

    def ended(self, choice: Choice, now: float, error: BaseException | None = None) -> None:
        """Note how the call ended: with what it raised, or None. Idempotent.

        A choice that was never begun says nothing about the endpoint, whatever the error.
        """
        if choice.over:
            return
        choice.over = True
        candidate = choice.candidate
        began = choice.started
        outcome = Outcome.UNDECIDED
        if began is not None:
            # In the usual case without a further call.
            outcome = Outcome.OK if error is None else outcome_of(error, self._policy.is_failure)
            candidate.load.ended(now, began, outcome)
        accrual = candidate.accrual
        if outcome is Outcome.OK and began is not None:
            if accrual.succeeded(now, began):
                candidate.warm_up(now)
                self._wake = -inf
        elif outcome is Outcome.FAILED and began is not None:
            if accrual.failed(now, began, choice.probe, self._chance):
                self.ejected += 1
                self._wake = -inf
        elif accrual.undecided(now, choice.probe):
            self._wake = -inf

    def explain(self, now: float) -> list[Report]:
        """Return what is known of each endpoint, in the order of the last update."""
        return [candidate.report(now) for candidate in self._candidates.values()]

    # --------------------------------------------------------------------- deciding

    def _refresh(self, now: float) -> None:
        """Work out who can be used from now on, and when time alone changes that."""
        ready = [each for each in self._candidates.values() if each.ready]
        trusted = [each for each in ready if each.accrual.health is Health.TRUSTED]
        share = self._policy.panic_threshold or 0.0
        self._panic = len(trusted) < len(ready) and (
            not trusted or len(trusted) < share * len(self._candidates)
        )
        usable = ready
        if not self._panic and len(trusted) < len(ready):
            usable = [
                each
                for each in ready
                if each.accrual.health is Health.TRUSTED or each.accrual.due(now)
            ]
        self._steady = [each for each in usable if now >= each.warm_at]
        self._wake = min(
            (time for each in ready for time in each.turns() if time > now), default=inf
        )
        if usable and usable != self._usable:
            self._picker.update(usable)
        self._usable = usable

    def _start_slowly(
        self, choice: Choice, now: float, key: str | None, exclude: Collection[Endpoint]
    ) -> Choice:
        """Let a call through to an endpoint in its slow start, or pick one past it.

        With none past it, all are equally new, and there is nothing to spare anybody.
        """
        steady = _without(self._steady, exclude) if exclude else self._steady
        if not steady:
            return choice
        if choice.candidate.admits(now):
            choice.note += "in its slow start; "
            return choice
        spared = choice.endpoint.url
        choice = self._picker.pick(steady, now, key, self._chance)
        choice.note += f"to spare {spared} in its slow start; "
        return choice


def _without(candidates: list[Candidate], exclude: Collection[Endpoint]) -> list[Candidate]:
    urls = {endpoint.url for endpoint in exclude}
    return [each for each in candidates if each.endpoint.url not in urls]
