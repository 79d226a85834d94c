"""`framerpc pub` and `framerpc sub`: publish a message, print those that come."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from framerpc.cli.common import add_client_options, connected, parse_value, render, run
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    import framerpc
    from framerpc.cli.common import Commands

__all__ = ["add_parser"]

_PUB: Final = """\
Publish VALUE to TOPIC and print the receipt. VALUE is JSON if it can be read
as such, otherwise text."""

_SUB: Final = """\
Print each message of the topics that PATTERN matches, one a line: its topic,
then its data as JSON. In a pattern, `*` stands for one token and `>` for the
rest. What is about the subscription itself goes to standard error. A lost
connection is made again, until the command is interrupted."""

_EPILOG: Final = """\
examples:
  framerpc sub tcp://127.0.0.1:7000 'news.>'
  framerpc sub tcp://127.0.0.1:7000 log.app --since start --count 10
  framerpc pub tcp://127.0.0.1:7000 news.sport '{"score": [2, 1]}'
"""


def add_parser(commands: Commands) -> None:
    """Add both subcommands."""
    pub = _parser(commands, "pub", "publish a message", _PUB)
    pub.add_argument("topic", metavar="TOPIC", help="for example news.sport")
    pub.add_argument("value", metavar="VALUE", help="the message")
    pub.add_argument("--key", metavar="TEXT", help="publish only once under this key")
    pub.add_argument("--no-ack", action="store_true", help="do not wait for the receipt")
    pub.set_defaults(run=_pub)
    sub = _parser(commands, "sub", "print the messages of a topic", _SUB)
    sub.add_argument("pattern", metavar="PATTERN", help="for example 'news.>'")
    sub.add_argument("--count", type=_count, metavar="N", help="stop after so many messages")
    sub.add_argument(
        "--since", metavar="WHERE", help='"start", a number of messages, or a position'
    )
    sub.add_argument("--group", metavar="NAME", help="share the messages with others")
    sub.set_defaults(run=_sub)


def _parser(commands: Commands, name: str, said: str, description: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=said,
        description=description,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_client_options(parser)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of messages")
    return int(text)


def _pub(options: argparse.Namespace) -> int:
    return run(_publish(options))


def _sub(options: argparse.Namespace) -> int:
    return run(_subscribe(options))


async def _publish(options: argparse.Namespace) -> int:
    value = parse_value(options.value)
    async with connected(options) as client:
        receipt = await client.publish(
            options.topic, value, key=options.key, ack=not options.no_ack
        )
        if receipt is not None:
            sys.stdout.write(_in_words(receipt) + "\n")
    return 0


def _in_words(receipt: framerpc.Published) -> str:
    subscribers = f"{receipt.subscribers} subscriber{'s' * (receipt.subscribers != 1)}"
    position = f", position {receipt.position}" if receipt.position else ""
    return f"{subscribers}{position}{', published before' * receipt.duplicate}"


async def _subscribe(options: argparse.Namespace) -> int:
    left: int | None = options.count
    async with (
        connected(options, stay=True) as client,
        client.subscribe(
            options.pattern, since=_since(options.since), group=options.group, on_resume=_resumed
        ) as messages,
    ):
        _say("subscribed" if messages.recovered else "subscribed; what is kept begins later")
        async for message in messages:
            if message.gap is not None and message.gap.dropped:
                _say(f"{message.gap.dropped} messages were left out: too slow")
            sys.stdout.write(f"{message.topic} {render(message.data)}\n")
            sys.stdout.flush()
            if left is not None:
                left -= 1
                if not left:
                    break
    return 0


def _resumed(messages: framerpc.Subscription[Any]) -> None:
    missed = "nothing was missed" if messages.recovered else "messages may be missing"
    _say(f"subscribed again: {missed}")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _since(text: str | None) -> str | int | None:
    if text is None or text == "start":
        return text
    if text.isdecimal():
        return int(text)
    if ":" not in text:
        raise ConfigurationError(
            f'--since takes "start", a number of messages or a position, not {text!r}'
        )
    return text
