"""What a client knows of a room does not depend on the way by which it heard."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from examples.chat.api import MEMBERS, Member, Message, Role, Room, RoomState
from examples.chat.client.view import PAGE, TYPING, Hole, RoomView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.chat.api import Event

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PEOPLE = ("ada", "bob", "eve")
ROLES: tuple[Role, ...] = ("owner", "moderator", "member", "banned", "left")


def room(revision: int = 1, last: int = 0, *, id_: int = 1, **changes: Any) -> Room:
    made = Room(id_, "public", "lobby", "", 1, last, revision)
    return structs.replace(made, **changes)


def message(number: int, revision: int, text: str = "", who: str = "bob", key: str = "") -> Message:
    return Message(1, number, who, text or f"text {number}", EPOCH, key or f"k{number}", revision)


def entered(*messages: Message, last: int | None = None) -> RoomView:
    """A room with these last messages."""
    top = messages[-1].number if messages else 0
    view = RoomView(room())
    view.snapshot(RoomState(room(50, top if last is None else last), [], list(messages)))
    return view


class History:
    """What truly happened in a room: its states, and the event that led to each."""

    def __init__(self, deeds: random.Random, length: int) -> None:
        self.revision = 1
        self.room = room(1)
        self.members: dict[str, Member] = {}
        self.messages: list[Message] = []
        self.events: list[list[Event]] = [[]]
        self.states = [self.state()]
        for _ in range(length):
            self.events.append(list(self.step(deeds)))
            self.states.append(self.state())

    def state(self) -> RoomState:
        inside = [each for each in self.members.values() if each.role in MEMBERS]
        return RoomState(self.room, inside, self.messages)

    def step(self, deeds: random.Random) -> Iterator[Event]:
        kind = deeds.choice(("say", "say", "change", "member"))
        self.revision += 1
        if kind == "member":
            name, role = deeds.choice(PEOPLE), deeds.choice(ROLES)
            self.members[name] = Member(1, name, role, self.revision)
            yield self.members[name]
            self.revision += 1
            inside = sum(each.role in MEMBERS for each in self.members.values())
            self.room = room(self.revision, len(self.messages), members=inside)
            yield self.room
        elif kind == "say" or not self.messages:
            self.messages = [*self.messages, message(len(self.messages) + 1, self.revision)]
            self.room = structs.replace(self.room, last=len(self.messages), revision=self.revision)
            yield self.messages[-1]  # and not the room: clients count themselves
        else:
            at = deeds.randrange(len(self.messages))
            changed = message(at + 1, self.revision, f"changed in {self.revision}")
            self.messages = [*self.messages[:at], changed, *self.messages[at + 1 :]]
            yield changed


class Truth(History):
    """The same, as a server answers from it."""

    def snapshot(self, at: int, last: int) -> RoomState:
        whole = self.states[at]
        kept = whole.messages[max(0, len(whole.messages) - last) :]
        return RoomState(whole.room, whole.members, kept)

    def answer(self, at: int, hole: Hole) -> list[Message]:
        inside = [m for m in self.states[at].messages if hole.after < m.number < hole.before]
        return inside[-PAGE:]


class Telling:
    """A view that is told of everything, as badly as a watch, pages and other calls may."""

    def __init__(self, truth: Truth, view: RoomView, deeds: random.Random) -> None:
        self.truth, self.view, self.deeds = truth, view, deeds
        self.at, self.online = 0, False
        self.end = len(truth.states) - 1
        self.late: list[tuple[Hole, list[Message]]] = []

    def run(self) -> None:
        deeds = (
            self.go,
            self.go,
            self.go,
            self.lose,
            self.snapshot,
            self.ask,
            self.answer,
            self.repeat,
        )
        while self.at < self.end or not self.online or self.late:
            self.deeds.choice(deeds)()

    def go(self) -> None:
        if not self.online:
            self.snapshot()
        elif self.at < self.end:
            self.at += 1
            for event in self.truth.events[self.at]:
                self.view.event(event)

    def lose(self) -> None:
        self.online = False
        self.at = self.deeds.randint(self.at, self.end)

    def snapshot(self) -> None:
        self.online = True
        self.view.snapshot(self.truth.snapshot(self.at, self.deeds.randint(0, 4)))

    def ask(self) -> None:
        hole = self.view.hole(1, self.view.last)
        if self.online and hole is not None and len(self.late) < 5:
            self.late.append((hole, self.truth.answer(self.at, hole)))

    def answer(self) -> None:
        if self.late:
            self.view.page(*self.late.pop(self.deeds.randrange(len(self.late))))

    def repeat(self) -> None:
        for event in self.deeds.choice(self.truth.events):  # of the past, or of the future
            self.view.event(event)


def fill(truth: Truth, view: RoomView) -> None:
    for _ in range(len(truth.states)):
        hole = view.hole(1, view.last)
        if hole is None:
            return
        view.page(hole, truth.answer(-1, hole))
    raise AssertionError("a hole does not get smaller")


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_whatever_the_order_and_repetition_the_view_is_the_truth_at_its_end(
    seed: int, length: int
) -> None:
    """Once its holes are filled."""
    deeds = random.Random(seed)
    truth, view = Truth(deeds, length), RoomView(room(1))
    Telling(truth, view, deeds).run()
    fill(truth, view)
    final = truth.states[-1]
    assert (view.last, view.room.members) == (final.room.last, final.room.members)
    assert view.between(1, view.last) == final.messages
    assert {each.name: each for each in view.people} == {e.name: e for e in final.members}


# --------------------------------------------------------------------------------- messages


def test_newest_revision_wins() -> None:
    """An older state that comes later changes nothing."""
    view = entered()
    view.event(message(1, 9, "new"))
    view.event(message(1, 7, "old"))
    assert view.messages[1].text == "new"


def test_holes_are_told_newest_first_and_only_inside_the_window() -> None:
    """What is not shown need not be known."""
    view = entered(message(8, 8))
    view.page(Hole(3, 5, 1), [message(4, 4)])
    view.event(message(12, 60))
    assert view.hole(1, 12) == Hole(8, 12, 1)
    assert view.hole(1, 7) == Hole(4, 8, 1)
    assert view.hole(8, 8) is None


def test_a_hole_is_never_wider_than_a_page() -> None:
    """So that the answer to it fills it."""
    view = entered(message(1000, 8))
    assert view.hole(1, 1000) == Hole(999 - PAGE, 1000, 1)


def test_after_a_new_snapshot_older_messages_are_doubtful_until_asked_for() -> None:
    """They may have been edited while nobody told us; meanwhile they are shown."""
    view = entered(message(1, 1), message(2, 2))
    view.snapshot(RoomState(room(60, 3), [], [message(3, 60)]))
    assert [each.number for each in view.between(1, 3)] == [1, 2, 3]
    assert view.hole(1, 3) == Hole(0, 3, 2)
    view.page(Hole(0, 3, 2), [message(1, 55, "edited"), message(2, 2)])
    assert view.messages[1].text == "edited"
    assert view.hole(1, 3) is None


def test_an_answer_from_before_a_snapshot_does_not_end_the_doubt() -> None:
    """It was asked for before the changes that the snapshot does not show."""
    view = entered(message(9, 9))
    hole = view.hole(1, 9)
    assert hole is not None
    view.snapshot(RoomState(room(70, 9), [], [message(9, 9)]))
    view.page(hole, [message(number, number) for number in range(1, 9)])
    assert view.hole(1, 9) == Hole(0, 9, 2)


def test_what_is_let_go_is_a_hole_again() -> None:
    """The server has it."""
    view = entered(*(message(number, number) for number in range(1, 10)))
    view.forget(5, 9)
    assert [each.number for each in view.between(1, 9)] == [5, 6, 7, 8, 9]
    assert view.hole(1, 9) == Hole(0, 5, 1)


# ------------------------------------------------------------------------------------ people


def test_a_member_who_is_missing_in_a_snapshot_is_gone() -> None:
    """Also when an old event about them comes afterwards."""
    view = RoomView(room())
    view.event(Member(1, "eve", "member", 3))
    view.snapshot(RoomState(room(9), [Member(1, "bob", "member", 5)], []))
    view.event(Member(1, "eve", "member", 3))
    assert [each.name for each in view.people] == ["bob"]


def test_a_member_who_came_after_a_snapshot_was_taken_stays() -> None:
    """Even if we heard of them before."""
    view = RoomView(room())
    view.event(Member(1, "eve", "member", 10))
    view.snapshot(RoomState(room(9), [Member(1, "bob", "member", 5)], []))
    assert [each.name for each in view.people] == ["bob", "eve"]


def test_people_stand_by_might_then_by_name() -> None:
    """Whoever left or was banned is not among them."""
    view = RoomView(room())
    for revision, (name, role) in enumerate(
        [("bob", "member"), ("Abe", "member"), ("eve", "owner"), ("joe", "banned")], 2
    ):
        view.event(Member(1, name, role, revision))  # type: ignore[arg-type] # of a literal
    assert [each.name for each in view.people] == ["eve", "Abe", "bob"]


def test_typing_is_shown_for_some_seconds_or_until_they_say_it() -> None:
    """Time is an argument."""
    view = entered()
    view.types("eve", 100.0)
    view.types("bob", 101.0)
    assert view.typing(102.0) == ["bob", "eve"]
    view.event(message(1, 60, who="bob"))
    assert view.typing(102.0) == ["eve"]
    assert view.typing(100.0 + TYPING) == []
