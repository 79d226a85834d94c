"""Two honest sides, connected by pipes that deliver when they like: a model of everything.

Whatever the order in which calls, parts, cancellations and deliveries happen, neither side sees
a violation, every call gets its own answer, and in the end nothing is left on either side.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from framerpc.config import Limits
from framerpc.protocol.encoding import encode, part_header
from framerpc.protocol.events import Violation
from framerpc.protocol.frames import (
    Cancel,
    Credit,
    End,
    Error,
    Item,
    Kind,
    Notify,
    Ping,
    Receipt,
    Request,
    Response,
)
from framerpc.protocol.handshake import Greeting, Reply, announce
from framerpc.protocol.states import CallState, Role
from framerpc.protocol.wire import Wire
from tests.protocol.vectors import DELIVERIES

if TYPE_CHECKING:
    from framerpc.protocol.events import Event

LIMITS = Limits(stream_window=3000)
SIZES = st.sampled_from([0, 1, 100, 2000, 9000])
INDEX = st.integers(0, 1000)


def bytes_of(event: Request | Response | Item | Notify) -> bytes:
    """Return the body that an event carries."""
    assert not isinstance(event.body, int)
    return bytes(event.body)


class Side:
    """One side: a wire, what it has written, and bodies that leave in parts."""

    def __init__(self, role: Role) -> None:
        self.wire = Wire(role, LIMITS)
        self.sent = bytearray()
        self.bodies: dict[int, memoryview] = {}

    def send(self, *fields: Any) -> None:
        self.sent += encode(*fields)

    def send_body(self, call_id: int, body: bytes, *fields: Any, parts: bool) -> None:
        """Send a frame with its body, or announce it."""
        parts = parts and bool(body)
        self.send(*fields, len(body) if parts else body)
        if parts:
            self.bodies[call_id] = memoryview(body)

    def send_part(self, call_id: int, most: int) -> bool:
        """Send a piece of a body; return whether it was the last one."""
        chunk, rest = self.bodies[call_id][:most], self.bodies[call_id][most:]
        self.sent += part_header(call_id, len(chunk)) + chunk
        self.bodies[call_id] = rest
        if not rest:
            del self.bodies[call_id]
        return not rest


class Call:
    """What both applications know about one call."""

    def __init__(self, number: int, flags: int) -> None:
        self.number = number
        self.flags = flags
        self.up: deque[bytes] = deque()  # sent by the caller, not yet seen by the callee
        self.down: deque[bytes] = deque()
        self.taken_up: deque[int] = deque()  # arrived at the callee, not yet taken
        self.taken_down: deque[int] = deque()
        self.upload_open = bool(flags & 2)
        self.answering = False  # the callee's last frame has been sent or announced


class TwoSides(RuleBasedStateMachine):
    """A client and a server."""

    def __init__(self) -> None:
        super().__init__()
        self.client, self.server = Side(Role.CLIENT), Side(Role.SERVER)
        client, server = self.client.wire, self.server.wire
        server.receive(client.hello(Greeting(versions=[1], limits=announce(LIMITS))))
        client.receive(server.welcome(Reply(version=1, limits=announce(LIMITS))))
        self.numbers = 0
        self.out: dict[int, Call] = {}  # the caller's calls by id
        self.inc: dict[int, Call] = {}  # the callee's calls by id, while it may answer
        self.by_number: dict[int, Call] = {}
        self.notified: list[bytes] = []

    def payload(self, size: int) -> bytes:
        """Return a body that no other call has."""
        self.numbers += 1
        return (b"%d;" % self.numbers) + bytes(size)

    @staticmethod
    def pick(calls: dict[int, Call], index: int) -> tuple[int, Call] | None:
        """Choose one of some calls."""
        ids = sorted(calls)
        return (ids[index % len(ids)], calls[ids[index % len(ids)]]) if ids else None

    # -------------------------------------------------------------- the caller

    @rule(flags=st.integers(0, 3), size=SIZES, parts=st.booleans())
    def call(self, flags: int, size: int, parts: bool) -> None:
        wire = self.client.wire
        call_id = wire.calls.new_id()
        assert call_id not in self.client.bodies
        body = self.payload(size)
        call = Call(self.numbers, flags)
        wire.calls.opened(call_id, flags)
        self.out[call_id] = self.by_number[call.number] = call
        head = (Kind.REQUEST.value, call_id, flags, str(call.number), None, None)
        self.client.send_body(call_id, body, *head, parts=parts)

    @rule(size=SIZES, parts=st.booleans())
    def notify(self, size: int, parts: bool) -> None:
        calls = self.client.wire.calls
        call_id = calls.new_id()
        while call_id in self.client.bodies:
            call_id = calls.new_id()
        body = self.payload(size)
        self.notified.append(body)
        self.client.send_body(call_id, body, Kind.NOTIFY.value, call_id, "note", None, parts=parts)

    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        chosen = self.pick(self.out, index)
        if chosen and self.client.wire.calls.cancelled(chosen[0]):
            self.client.bodies.pop(chosen[0], None)
            self.client.send(Kind.CANCEL.value, chosen[0], 0)

    @rule(index=INDEX, size=SIZES, parts=st.booleans())
    def upload(self, index: int, size: int, parts: bool) -> None:
        chosen = self.pick(self.out, index)
        calls = self.client.wire.calls
        if chosen and chosen[0] not in self.client.bodies and calls.may_send(chosen[0]):
            call_id, call = chosen
            body = self.payload(size)
            calls.sent_item(call_id, len(body))
            call.up.append(body)
            self.client.send_body(call_id, body, Kind.ITEM.value, call_id, parts=parts)

    @rule(index=INDEX, broken=st.booleans())
    def end_upload(self, index: int, broken: bool) -> None:
        chosen = self.pick(self.out, index)
        if not chosen:
            return
        call_id, call = chosen
        unfinished = call_id in self.client.bodies
        if unfinished and not (broken and call.up):
            return  # nothing may end inside an item, or before the arguments are there
        if self.client.wire.calls.sent_end(call_id):
            self.client.bodies.pop(call_id, None)
            if broken:
                self.client.send(Kind.ERROR.value, call_id, 1, 0, "broke", None)
            else:
                self.client.send(Kind.END.value, call_id)

    @rule(index=INDEX)
    def take_down(self, index: int) -> None:
        chosen = self.pick(self.out, index)
        if chosen and chosen[1].taken_down:
            size = chosen[1].taken_down.popleft()
            self.client.sent += self.client.wire.calls.consumed(chosen[0], size) or b""

    # -------------------------------------------------------------- the callee

    def answerable(self, index: int) -> tuple[int, Call] | None:
        """Choose a call that the callee may still answer."""
        calls = {call_id: call for call_id, call in self.inc.items() if not call.answering}
        return self.pick(calls, index)

    @rule(index=INDEX, size=SIZES, parts=st.booleans())
    def respond(self, index: int, size: int, parts: bool) -> None:
        chosen = self.answerable(index)
        if chosen and not chosen[1].flags & 1:
            call_id, call = chosen
            call.answering = True
            body = b"%d;" % call.number + bytes(size)
            self.server.send_body(call_id, body, Kind.RESPONSE.value, call_id, parts=parts)
            if call_id not in self.server.bodies:
                self.ended(call_id)

    @rule(index=INDEX, size=SIZES, parts=st.booleans())
    def download(self, index: int, size: int, parts: bool) -> None:
        chosen = self.answerable(index)
        calls = self.server.wire.calls
        if chosen and chosen[0] not in self.server.bodies and calls.may_send(chosen[0]):
            call_id, call = chosen
            body = self.payload(size)
            calls.sent_item(call_id, len(body))
            call.down.append(body)
            self.server.send_body(call_id, body, Kind.ITEM.value, call_id, parts=parts)

    @rule(index=INDEX)
    def end_download(self, index: int) -> None:
        chosen = self.answerable(index)
        if chosen and chosen[1].flags & 1 and chosen[0] not in self.server.bodies:
            self.server.send(Kind.END.value, chosen[0])
            self.ended(chosen[0])

    @rule(index=INDEX)
    def fail(self, index: int) -> None:
        chosen = self.pick(self.inc, index)  # also in the middle of a response
        if chosen:
            self.give_up(chosen[0], Kind.ERROR.value, chosen[0], 9, 1, str(chosen[1].number), None)

    def give_up(self, call_id: int, *fields: Any) -> None:
        """End a call without the rest of its body."""
        self.server.bodies.pop(call_id, None)
        self.server.send(*fields)
        self.ended(call_id)

    def ended(self, call_id: int) -> None:
        self.inc.pop(call_id, None)
        self.server.wire.calls.ended(call_id)

    @rule(index=INDEX)
    def take_up(self, index: int) -> None:
        chosen = self.pick(self.inc, index)
        if chosen and chosen[1].taken_up:
            size = chosen[1].taken_up.popleft()
            self.server.sent += self.server.wire.calls.consumed(chosen[0], size) or b""

    # ------------------------------------------------------------ both of them

    @precondition(lambda self: self.client.bodies or self.server.bodies)
    @rule(index=INDEX, most=st.sampled_from([1, 1000, 5000, 10_000]), client=st.booleans())
    def part(self, index: int, most: int, client: bool) -> None:
        side = self.client if client else self.server
        ids = sorted(side.bodies)
        if ids:
            call_id = ids[index % len(ids)]
            last = side.send_part(call_id, most)
            if last and not client and call_id in self.inc and self.inc[call_id].answering:
                self.ended(call_id)

    @rule(client=st.booleans())
    def ping(self, client: bool) -> None:
        (self.client if client else self.server).send(Kind.PING.value, 1, None)

    @rule(
        to_server=st.booleans(),
        count=st.sampled_from([1, 3, 10, 100, 6000, 10**6]),
        how=st.sampled_from(sorted(DELIVERIES)),
    )
    def deliver(self, to_server: bool, count: int, how: str) -> None:
        sender, reader = (self.client, self.server) if to_server else (self.server, self.client)
        if count > 100 and how == "byte by byte":
            how = "whole"
        data = bytes(sender.sent[:count])
        del sender.sent[:count]
        for event in DELIVERIES[how](reader.wire, data):
            assert not isinstance(event, Violation), event
            if to_server:
                self.at_server(event)
            else:
                self.at_client(event)

    def at_server(self, event: Event) -> None:
        match event:
            case Request():
                call = self.by_number[int(event.method)]
                assert bytes_of(event).startswith(b"%d;" % call.number)
                self.inc[event.id] = call
            case Notify():
                self.notified.remove(bytes_of(event))
            case Cancel():
                # Never: an answer on its way is given up for the receipt.
                self.give_up(event.id, Kind.RECEIPT.value, event.id, 0)
            case Item():
                call = self.inc[event.id]
                assert call.up.popleft() == event.body
                call.taken_up.append(len(bytes_of(event)))
            case End() | Error():
                self.inc[event.id].upload_open = False
            case _:
                assert isinstance(event, (Credit, Ping))

    def at_client(self, event: Event) -> None:
        match event:
            case Response():
                call = self.out.pop(event.id)
                assert bytes_of(event).startswith(b"%d;" % call.number)
            case Error():
                assert event.detail == str(self.out.pop(event.id).number)
            case Receipt() | End():
                del self.out[event.id]
            case Item():
                call = self.out[event.id]
                assert call.down.popleft() == event.body
                call.taken_down.append(len(bytes_of(event)))
            case _:
                assert isinstance(event, (Credit, Ping))
                return
        if not isinstance(event, Item):
            self.client.bodies.pop(event.id, None)  # what is left of an upload or a request

    @invariant()
    def the_caller_knows_its_calls(self) -> None:
        """The wire's book and the application agree."""
        assert self.client.wire.calls.alive.keys() == self.out.keys()

    @invariant()
    def the_callee_frees_an_id_first(self) -> None:
        """An id that is alive at the callee is alive at the caller, or belongs to a body."""
        for call_id, state in self.server.wire.calls.alive.items():
            assert state is not CallState.IDLE
            assert call_id in self.out or call_id in self.client.bodies or self.client.sent

    def teardown(self) -> None:
        """Let everything come to its end."""
        for _ in range(200):
            if not self.out and not self.inc and not self.client.bodies and not self.client.sent:
                break
            while self.client.bodies:
                self.part(0, 10**6, client=True)
            self.deliver(to_server=True, count=10**9, how="whole")
            for call_id in list(self.inc):
                self.give_up(call_id, Kind.ERROR.value, call_id, 9, 1,
                             str(self.inc[call_id].number), None)  # fmt: skip
            self.server.bodies.clear()
            self.deliver(to_server=False, count=10**9, how="whole")
        for side in (self.client, self.server):
            calls = side.wire.calls
            assert not calls.alive
            assert not calls._streams
            assert not calls.bodies
            assert calls.bodies._receiving == 0
        assert not self.notified


TestTwoSides = TwoSides.TestCase
TestTwoSides.settings = settings(deadline=None, max_examples=60, stateful_step_count=60)
