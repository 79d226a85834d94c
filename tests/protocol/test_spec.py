"""protocol.md is the authority: its tables, numbers and examples are those of the code."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import re
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from framerpc.backplane.sqlite import SqliteStore
from framerpc.client.state import State
from framerpc.config import KIB, Keepalive, Limits, Watchdog
from framerpc.connection.evidence import Evidence
from framerpc.connection.keepalive import OVERDUE
from framerpc.connection.liveness import SILENT_CLOSE
from framerpc.errors import CLOSE_CODES, STATUSES, CloseCode, Status
from framerpc.gateway.transport import MAX_MESSAGE
from framerpc.protocol import states
from framerpc.protocol.bodies import IncomingBody
from framerpc.protocol.frames import (
    CATALOGUE,
    MAX_CREDIT,
    MAX_ID,
    MAX_UINT,
    OPTIONAL_KINDS,
    PART_SIZE,
    REQUIRED_KINDS,
    Kind,
    Response,
    decode,
    encode,
)
from framerpc.protocol.handshake import (
    MINIMUM,
    MINIMUM_EARLY,
    MINIMUM_GREETING,
    PREAMBLE,
    VERSION,
    Announced,
    Greeting,
    Reply,
)
from framerpc.protocol.maps import MAX_MAP
from framerpc.protocol.sessions import (
    ONCE,
    ONCE_HEADER,
    SESSIONS,
    NumberState,
    OnceEvent,
    parse_once,
)
from framerpc.protocol.states import (
    CALLEE,
    CALLER,
    CONNECTION,
    CONSUMER,
    PRODUCER,
    CallState,
    ConnectionState,
    Effect,
    Flow,
    Role,
)
from framerpc.protocol.streams import ITEM_COST
from framerpc.protocol.topics import TOPICS
from framerpc.protocol.wire import Wire
from framerpc.pubsub.dedupe import MAX_KEY
from framerpc.pubsub.events import MESSAGE_COST
from framerpc.pubsub.positions import MAX_EPOCH
from framerpc.pubsub.presence import Leave
from framerpc.pubsub.queues import Overflow
from framerpc.pubsub.topics import MAX_TOKENS, MAX_TOPIC
from framerpc.server.replies import ENTRY_COST
from framerpc.topic_config import TopicLimits
from tests.protocol import spec
from tests.protocol.vectors import VECTORS, meaning

ROOT = Path(__file__).parent.parent.parent


def test_requirements_are_numbered_without_gaps() -> None:
    """Each group of requirements counts from 1, and no number stands twice."""
    groups = itertools.groupby(spec.REQUIREMENTS, key=lambda each: each.rpartition("-")[0])
    for group, members in groups:
        numbers = [int(member.rpartition("-")[2]) for member in members]
        assert numbers == list(range(1, len(numbers) + 1)), group
    assert len(set(spec.REQUIREMENTS)) == len(spec.REQUIREMENTS)


def test_vectors_name_requirements_that_exist() -> None:
    """Each vector says which requirements it shows."""
    for name, vector in VECTORS.items():
        assert vector["requirements"], name
        assert set(vector["requirements"]) <= set(spec.REQUIREMENTS), name


def test_code_cites_sections_that_exist() -> None:
    """What a docstring calls a section of protocol.md is a heading of it."""
    cited: dict[str, str] = {}
    for folder in ("framerpc", "tests", "benchmarks", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            text = re.sub(r"\s+", " ", file.read_text(encoding="utf-8"))
            for citation in re.findall(r'protocol\.md((?:,?(?: and)? "[^"]{1,40}")+)', text):
                cited |= dict.fromkeys(re.findall(r'"([^"]+)"', citation), file.name)
    assert len(cited) > 10
    assert {name: file for name, file in cited.items() if name not in spec.HEADINGS} == {}


def test_links_inside_lead_somewhere() -> None:
    """Each link to a section has its heading."""
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in spec.HEADINGS
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", spec.TEXT)) <= anchors


def test_no_cell_of_a_table_is_empty() -> None:
    """A reader never has to guess what an empty cell means."""
    rows = [line for line in spec.TEXT.splitlines() if line.startswith("|")]
    assert not [row for row in rows if any(not cell.strip() for cell in row[1:-1].split("|"))]


# ------------------------------------------------------------------- frames


def test_the_frame_table_is_the_catalogue() -> None:
    """Kind, name and fields of every frame are those of the code, in order."""
    (table,) = [table for table in spec.tables("Frames") if "kind" in table[0]]
    written = {
        int(row["kind"]): (
            row["name"],
            [field.split(":")[0] for field in row["fields"].split(", ")],
        )
        for row in table
    }
    assert written == {
        kind: (Kind(kind).name, list(frame.__struct_fields__)) for kind, frame in CATALOGUE.items()
    }


FIELD_TYPES = {
    "map": {b"\x80"},
    "map or nil": {b"\x80", b"\xc0"},
    "uint": {b"\x01"},
    "uint or nil": {b"\x01", b"\xc0"},
    "id": {b"\x01"},
    "str": {b"\xa1a"},
    "bin": {b"\xc4\x01a"},
    "body": {b"\xc4\x01a", b"\x01"},
}
WRONG = {b"\x80", b"\xc0", b"\x01", b"\xa1a", b"\xc4\x01a", b"\x90", b"\xc3", b"\xcb" + b"\0" * 8}


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: Kind(kind).name)
def test_fields_have_the_types_of_the_frame_table(kind: int) -> None:
    """A field takes a sample of what its type allows, and of nothing else."""
    (table,) = [table for table in spec.tables("Frames") if "kind" in table[0]]
    (row,) = [row for row in table if row["kind"] == str(kind)]
    types = [field.split(": ")[1] for field in row["fields"].split(", ")]
    good = [min(FIELD_TYPES[each]) for each in types]
    for place, each in enumerate(types):
        for sample in FIELD_TYPES[each] | WRONG:
            fields = [*good[:place], sample, *good[place + 1 :]]
            data = bytes([0x90 + 1 + len(types), kind]) + b"".join(fields)
            if sample in FIELD_TYPES[each]:
                assert decode(data) is not None
            else:
                with pytest.raises(Exception, match=f"a bad {Kind(kind).name} frame"):
                    decode(data)


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_every_frame_has_an_entry_with_an_example(kind: Kind) -> None:
    """The entry has a field table and an example whose hex is the array beside it."""
    table = spec.tables(kind.name)[0]
    assert [row["field"] for row in table] == list(CATALOGUE[kind].__struct_fields__)
    (text,) = spec.blocks("hex frame", kind.name)
    (array,) = spec.blocks("json", kind.name)
    fields = _with_bytes(json.loads(array))
    data = bytes.fromhex(text)
    assert data == encode(*fields)
    frame = decode(data[4:])
    assert frame is not None
    assert meaning(frame) == fields
    for label in ("Sent by", "Valid", "Effect", "Errors"):
        assert f"\n- {label}: " in spec.section(kind.name)


def _with_bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if isinstance(value, dict) and value.keys() == {"bin"}:
        return bytes.fromhex(value["bin"])
    return value


def test_ranges_of_kinds_are_those_of_the_text() -> None:
    """Required and optional kinds are where the text says."""
    assert "Kinds 0 to 63 are *required*" in spec.TEXT
    assert "Kinds 64 to 127 are *optional*" in spec.TEXT
    assert (range(64), range(64, 128)) == (REQUIRED_KINDS, OPTIONAL_KINDS)


# ------------------------------------------------------------------- states


@pytest.mark.parametrize("role", Role)
def test_connection_table(role: Role) -> None:
    """Each cell of the printed table is the code's."""
    printed = {row["state"]: row for row in spec.tables("Connection")[[*Role].index(role)]}
    expected = {*ConnectionState} - ({ConnectionState.WAITING} if role is Role.CLIENT else set())
    assert printed.keys() == {state.value for state in expected}
    for state in expected:
        row = printed[state.value]
        for kind in Kind:
            cell = row["about a call" if kind >= Kind.REQUEST else kind.name]
            after = CONNECTION[role][state].get(kind)
            assert cell == (after.value if after else _otherwise(state)), (state, kind)


def _otherwise(state: ConnectionState) -> str:
    kept = {ConnectionState.WAITING: "kept", ConnectionState.CLOSED: "dropped"}
    return kept.get(state, "close")


def _cell(step: states.Step | None) -> str:
    if step is None or step.effect is Effect.CLOSE:
        return "close"
    return f"{step.effect.value}, {step.state.value}"


@pytest.mark.parametrize(
    ("heading", "index", "table", "rows"),
    [
        ("Call", 0, CALLER, CallState),
        ("Call", 1, CALLEE, CallState),
        ("Stream", 0, CONSUMER, Flow),
        ("Stream", 1, PRODUCER, Flow),
    ],
    ids=["caller", "callee", "consumer", "producer"],
)
def test_call_and_stream_tables(heading: str, index: int, table: Any, rows: Any) -> None:
    """Each cell of the printed tables is the code's, and no cell of the code is missing."""
    printed = {row["state"]: row for row in spec.tables(heading)[index]}
    assert list(printed) == [state.value for state in rows]
    for state in rows:
        row = printed[state.value]
        assert {kind.name for kind in table[state]} <= row.keys()
        for name, cell in row.items():
            if name != "state":
                assert cell == _cell(table[state].get(Kind[name])), (state, name)


def test_the_table_of_numbers() -> None:
    """Each cell of the printed table is the code's, and what cannot happen is said so."""
    table = spec.tables("Once")[1]
    assert [row["state"] for row in table] == [state.value for state in NumberState]
    for row in table:
        steps = ONCE[NumberState(row["state"])]
        for name, cell in row.items():
            if name != "state":
                step = steps.get(OnceEvent(name))
                assert cell == (
                    "never" if step is None else f"{step.act.value}, {step.state.value}"
                )


def test_the_example_of_a_numbered_call() -> None:
    """Its bytes are the array beside them, and its header is a good one."""
    (text,) = spec.blocks("hex frame", "Once")
    (array,) = spec.blocks("json", "Once")
    fields = _with_bytes(json.loads(array))
    assert bytes.fromhex(text) == encode(*fields)
    assert parse_once(fields[5][ONCE_HEADER]) == (5, 4)


# -------------------------------------------------- handshake, limits, numbers


def test_options_of_the_greetings() -> None:
    """The options, and which of them are required, are those of the code."""
    hello, welcome, limits = spec.tables("Handshake")
    for table, options in ((hello, Greeting), (welcome, Reply)):
        assert [row["key"] for row in table] == list(options.__struct_fields__)
        required = {field.name for field in msgspec.structs.fields(options) if field.required}
        assert {row["key"] for row in table if row["default"] == "required"} == required
    assert {row["key"]: int(row["assumed until announced"]) for row in limits} == {
        field: getattr(MINIMUM, field) for field in Announced.__struct_fields__
    }


def test_ranges_of_the_announced_limits() -> None:
    """The ends of each range are accepted, and what lies beyond them is not."""
    for row in spec.tables("Handshake")[2]:
        lowest, highest = map(int, row["range"].split(" to "))
        for value, good in (
            (lowest, True),
            (highest, True),
            (lowest - 1, False),
            (highest + 1, False),
        ):
            try:
                msgspec.convert({row["key"]: value}, Announced)
            except msgspec.ValidationError:
                assert not good, (row, value)
            else:
                assert good, (row, value)


def test_limits_tables() -> None:
    """Every option of Limits stands there with its default and the minimum of the protocol."""
    wire, local, constants = spec.tables("Limits")
    defaults = dataclasses.asdict(Limits())
    printed = {row["option"]: row for row in wire + local}
    assert printed.keys() == defaults.keys()
    for option, default in defaults.items():
        assert spec.number(printed[option]["default"]) == default, option
    minimum = {row["option"]: spec.number(row["every peer accepts"]) for row in wire}
    assert minimum["max_frame"] == MINIMUM.frame
    assert minimum["max_greeting"] == MINIMUM_GREETING
    assert minimum["max_early"] == MINIMUM_EARLY
    announced = {row["announced as"]: row for row in wire if row["announced as"] != "-"}
    assert announced.keys() == set(Announced.__struct_fields__)
    for key, row in announced.items():
        lowest = next(r["range"] for r in spec.tables("Handshake")[2] if r["key"] == key)
        assert spec.number(row["every peer accepts"]) == int(lowest.split(" to ")[0])
    assert [int(row["value"]) for row in constants] == [
        MAX_ID, MAX_CREDIT, MAX_UINT, ITEM_COST, PART_SIZE, 64, MAX_MAP, MAX_MESSAGE,
    ]  # fmt: skip


def test_limits_name_real_consequences() -> None:
    """What happens beyond a limit is a close code or a status that exists."""
    wire, local, _ = spec.tables("Limits")
    for row in wire + local:
        for code in re.findall(r"CLOSE with ([A-Z_]+)", row["beyond it"]):
            assert code in CloseCode.__members__
        for status in re.findall(r"ERROR ([A-Z_]+)", row["beyond it"]):
            assert status in Status.__members__


def test_topic_limits() -> None:
    """Every option of TopicLimits stands there with its default, the policies with their names."""
    *_, policies = spec.tables("Positions and history")
    (options,) = spec.tables("Limits of topics")
    printed = {row["option"]: spec.number(row["default"]) for row in options}
    assert printed == dataclasses.asdict(TopicLimits())
    assert [row["policy"] for row in policies] == [each.value for each in Overflow]
    for row in options:
        for status in re.findall(r"ERROR ([A-Z_]+)", row["beyond it"]):
            assert status in Status.__members__


def test_numbers_of_topics() -> None:
    """Numbers that stand in sentences about topics are those of the code."""
    assert f"at most {MAX_TOPIC} bytes of UTF-8 and at most {MAX_TOKENS} tokens" in spec.TEXT
    assert f"a name of 1 to {MAX_EPOCH} letters" in spec.TEXT
    assert f"text of at most {MAX_KEY} characters" in spec.TEXT
    assert f"its conflation key, and {MESSAGE_COST} bytes on top" in spec.TEXT
    waiting = inspect.signature(SqliteStore).parameters
    most, most_bytes = (waiting[name].default for name in ("max_waiting", "max_waiting_bytes"))
    assert f"{most:,} publishes or {most_bytes:,} bytes that wait for the disk" in spec.TEXT
    (reasons,) = re.findall(r"a reason for leaving: (.*?)\. A snapshot", spec.TEXT)
    assert re.findall("`([a-z]+)`", reasons) == [each.value for each in Leave]


def test_numbers_in_the_text() -> None:
    """Numbers that stand in sentences are those of the code."""
    keepalive = Keepalive()
    assert f"pings after {keepalive.interval:.0f} s" in spec.TEXT
    assert f"waits {keepalive.timeout:.0f} s more" in spec.TEXT
    lost = keepalive.interval + keepalive.timeout
    assert f"noticed after at most {lost:.0f} s" in spec.TEXT
    assert f"a busy one is given up after {keepalive.busy:.0f} s" in spec.TEXT
    assert keepalive.timeout <= keepalive.interval  # what makes it two intervals
    assert f"by default from {Watchdog().threshold} s on" in spec.TEXT
    assert f"up to {MINIMUM_EARLY:,} bytes of frames" in spec.TEXT
    assert f"at least {MINIMUM_GREETING:,} bytes" in spec.TEXT
    assert f"frames of {MINIMUM.frame:,} bytes" in spec.TEXT
    assert f"more than {PART_SIZE:,} bytes" in spec.TEXT
    assert f"has at most {MAX_MAP:,} bytes" in spec.TEXT
    assert "no more memory than 16 times what has arrived" in spec.TEXT
    body = IncomingBody(Response(1, 10**6), 10**6)
    body.add(bytes(KIB))
    assert len(body.take()) == 16 * KIB
    assert f"A stored answer counts {ENTRY_COST} bytes more" in spec.TEXT
    assert f"two features: `{SESSIONS}` and `{TOPICS}`" in spec.TEXT


def test_evidence_table() -> None:
    """The kinds of evidence are those of the code."""
    (table,) = spec.tables("Busy is not dead")
    assert [row["evidence"] for row in table] == [
        evidence.value
        for evidence in (Evidence.DELIVERED, Evidence.TAKING, Evidence.LOST, Evidence.UNKNOWN)
    ]
    assert len(table) == len(Evidence)


def test_table_of_what_can_be_observed() -> None:
    """Each state of a client has its line, and the times are those of the options."""
    (table,) = spec.tables("What can be observed")
    assert {row["state"] for row in table} == {state.value for state in State}
    keepalive = Keepalive()
    terms = dataclasses.asdict(keepalive) | {
        "overdue": keepalive.timeout * OVERDUE,
        "farewell": SILENT_CLOSE,
    }
    for row in table:
        rule = row["at the latest"].replace("at once", "0").replace("timeout / 2", "overdue")
        seconds = sum(float(terms.get(term, term)) for term in rule.split(" + "))
        assert spec.number(row["with the default options"]) == seconds, row
        if row["situation"] != "down, and the host lives":  # degraded is true in time
            assert seconds <= keepalive.interval + keepalive.timeout + 1


def test_preamble() -> None:
    """The preamble of the text is the code's, and ends with the version of the title."""
    (text,) = spec.blocks("hex preamble")
    assert bytes.fromhex(text) == PREAMBLE
    assert f"version {VERSION}" in spec.HEADINGS[0]


# ------------------------------------------------------------------- errors


def test_error_table() -> None:
    """Statuses, whether the work happened and whether to retry are those of STATUSES."""
    table = spec.tables("Errors")[0]
    assert {row["name"]: int(row["status"]) for row in table} == {
        status.name: status.value for status in Status
    }
    for row in table:
        known = STATUSES[Status[row["name"]]]
        assert tuple(row["did the work happen"].split(", ")) == known.executed
        assert row["may it be retried"] == known.retry


def test_close_codes_table() -> None:
    """Codes, and whether the same client may dial again, are those of CLOSE_CODES."""
    (table,) = spec.tables("Close codes")
    assert {row["name"]: int(row["code"]) for row in table} == {
        code.name: code.value for code in CloseCode
    }
    for row in table:
        again = row["may the same client dial again"]
        assert again == ("yes" if CLOSE_CODES[CloseCode[row["name"]]] else "no")


def test_reserved_kinds_are_free() -> None:
    """No kind that is reserved for later is in use."""
    text = " ".join(row["reserved"] for row in spec.tables("Room for what comes next")[0])
    reserved = {
        number
        for first, last in re.findall(r"(\d+) to (\d+)", text)
        for number in range(int(first), int(last) + 1)
    }
    assert not reserved & set(CATALOGUE)
    assert reserved | set(CATALOGUE) | {0, 7} >= set(REQUIRED_KINDS)


# ----------------------------------------------------------------- examples


def test_examples_of_arguments() -> None:
    """The bodies in the table of arguments hold what the calls say."""
    bodies = {row["call"]: bytes.fromhex(row["body in hex"]) for row in spec.tables("Arguments")[0]}
    assert {call: msgspec.msgpack.decode(body) for call, body in bodies.items()} == {
        "add(2, 3)": [2, 3],
        "add(a=2)": {"a": 2},
        "add(2, b=3)": {"": [2], "b": 3},
        "ping()": [],
    }


def _trace() -> list[tuple[str, str, bytes]]:
    """Return the steps of the annotated connection: what, who, bytes."""
    (text,) = spec.blocks("trace")
    steps: list[tuple[str, str, bytes]] = []
    for paragraph in text.strip().split("\n\n"):
        comment, *lines = paragraph.splitlines()
        who = {line[0] for line in lines}
        assert len(who) == 1, comment
        data = bytes.fromhex("".join(line[1:] for line in lines))
        steps.append((comment.removeprefix("# "), who.pop(), data))
    return steps


def test_the_annotated_connection_is_a_real_one() -> None:
    """Two sides that read it take every byte, and end as the text says."""
    wires = {"C": Wire(Role.SERVER, Limits()), "S": Wire(Role.CLIENT, Limits())}  # who reads
    server, client = wires["C"], wires["S"]
    client.hello(Greeting(versions=[1], limits=Announced(window=1024)))
    names: list[str] = []
    for what, who, data in _trace():
        if what == "WELCOME":
            server.welcome(Reply(version=1))
            assert [type(event).__name__ for event in server.resume()] == ["Request"]
        events = wires[who].receive(data)
        names += [type(event).__name__ for event in events]
        _book(client, server, what)
    assert "Violation" not in names
    assert client.calls.ignored == 1  # the item that crossed
    assert (client.state, client.calls.alive) == (ConnectionState.CLOSED, {})
    assert server.calls.alive == {}


def _book(client: Wire, server: Wire, what: str) -> None:
    """Note at the sender what it has just sent."""
    match what.split()[:2]:
        case ["REQUEST", "1,"]:
            client.calls.opened(1, 0)
        case ["REQUEST", "3,"]:
            client.calls.opened(3, 1)
        case ["RESPONSE", "1,"]:
            server.calls.ended(1)
        case ["CANCEL", "3:"]:
            assert client.calls.cancelled(3)
        case ["RECEIPT", "3:"]:
            server.calls.ended(3)
        case ["ITEM", "3:"]:
            server.calls.sent_item(3, 1)
        case _:
            pass


def test_the_annotated_connection_is_what_the_code_writes() -> None:
    """Each frame of it is the shortest encoding of its fields, as `encode` writes it."""
    for what, _, data in _trace():
        if data != PREAMBLE:
            fields = cast("list[Any]", msgspec.msgpack.decode(data[4:]))
            assert encode(*fields) == data, what
