"""What several subcommands share: options for connecting, values on the command line.

A value is JSON if it can be read as JSON, otherwise text, so that `2` is a number, `Ada` a
text, and `'"2"'` the text "2".
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import json
import math
import os
import ssl
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar, cast

import framerpc
from framerpc.adapters.uvloop import run as run_loop
from framerpc.client.retry import DEFAULT_RECONNECT
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

__all__ = [
    "Commands",
    "add_client_options",
    "connected",
    "is_list",
    "load_certificate",
    "parse_arguments",
    "parse_value",
    "read_token",
    "render",
    "run",
    "seconds",
]

_T = TypeVar("_T")

# argparse has no public name for what `add_subparsers` returns.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
"""Where a subcommand adds its parser."""


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every subcommand that connects."""
    parser.add_argument("url", metavar="URL", help="tcp://host:port, tls://host:port, unix:///path")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=10.0,
        metavar="S",
        help="seconds to connect, and for each call (10)",
    )
    group = parser.add_argument_group("credentials")
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="file that holds the token; otherwise $FRAMERPC_TOKEN is used, if set",
    )
    group.add_argument(
        "--tls-ca",
        metavar="FILE",
        help="trust this certificate (authority) instead of the system's; tls:// only",
    )
    group.add_argument("--tls-cert", metavar="FILE", help="our own certificate, for mutual TLS")
    group.add_argument("--tls-key", metavar="FILE", help="its key, if in a file of its own")


def read_token(options: argparse.Namespace) -> str | None:
    """Return the token to use. It is never taken from the command line, which others can see.

    Raises:
        ConfigurationError: It is empty: a server that asked for it would let everybody in.
    """
    if options.token_file:
        place = options.token_file
        try:
            token = Path(place).read_text(encoding="utf-8").strip()
        except OSError as exc:
            raise ConfigurationError(f"--token-file {place}: {exc.strerror}") from exc
        except UnicodeDecodeError as exc:
            raise ConfigurationError(f"{place} holds no token: it is not text") from exc
    elif (found := os.environ.get("FRAMERPC_TOKEN")) is not None:
        place, token = "$FRAMERPC_TOKEN", found.strip()
    else:
        return None
    if not token:
        raise ConfigurationError(f"the token in {place} is empty")
    return token


@asynccontextmanager
async def connected(
    options: argparse.Namespace, *, stay: bool = False
) -> AsyncGenerator[framerpc.Client]:
    """Give the client that the options describe, once the server has welcomed it.

    One attempt: whoever types a command wants to hear at once that there is no server.

    Args:
        options: Of the command line.
        stay: Once welcomed, dial again for as long as it takes when the connection is lost.
    """
    welcomed = False

    def pause(state: Any) -> float:
        if not (stay and welcomed):
            raise state.outcome.exception()
        return float(DEFAULT_RECONNECT(state))

    client = framerpc.connect(
        options.url,
        timeout=options.timeout,
        tls=_tls(options),
        token=read_token(options),
        reconnect=cast("Any", pause),
    )
    async with client:
        await client.ready(options.timeout)
        welcomed = True
        yield client


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.url.startswith("tls://"):
        if options.tls_ca or options.tls_cert or options.tls_key:
            raise ConfigurationError(f"certificates are for tls:// addresses, not {options.url}")
        return None
    try:
        context = ssl.create_default_context(cafile=options.tls_ca)
    except ssl.SSLError as exc:
        raise ConfigurationError(f"{options.tls_ca} holds no certificate (PEM)") from exc
    load_certificate(context, options)
    return context


def load_certificate(context: ssl.SSLContext, options: argparse.Namespace) -> None:
    """Load our own certificate, if the options name one.

    Raises:
        ConfigurationError: It cannot be used.
    """
    if not options.tls_cert:
        if options.tls_key:
            raise ConfigurationError("--tls-key goes with --tls-cert")
        return
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key)
    except ssl.SSLError as exc:
        key = options.tls_key or options.tls_cert
        raise ConfigurationError(
            f"{options.tls_cert} and {key} are no certificate and its key (PEM): "
            f"{exc.reason or exc}"
        ) from exc


def seconds(text: str) -> float:
    """Return a time given on the command line, in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a subcommand on the best loop there is."""
    return run_loop(coroutine)


def parse_value(text: str) -> Any:
    """Return the value that a word of the command line stands for."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_arguments(words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """Split words into positional and named arguments (`name=value`).

    Raises:
        ConfigurationError: A name is given twice, or a positional word follows a named one.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            if kwargs:
                raise ConfigurationError(f"put {word!r} before the named arguments")
            args.append(parse_value(word))
        elif name in kwargs:
            raise ConfigurationError(f"{name} is given twice")
        else:
            kwargs[name] = parse_value(value)
    return args, kwargs


def render(value: Any) -> str:
    """Return a value as one line of JSON; what JSON does not know becomes text."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=_as_json)
    except TypeError:  # a key that JSON does not know
        value = _with_text_keys(value)
        text = json.dumps(value, ensure_ascii=False, default=_as_json)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, default=_as_json)
    return text


def _with_text_keys(value: Any) -> Any:
    if _is_map(value):
        pairs = value.items()
        return {
            key if isinstance(key, (str, int, float)) else str(key): _with_text_keys(each)
            for key, each in pairs
        }
    if is_list(value):
        return [_with_text_keys(each) for each in value]
    return value


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is what JSON calls an array."""
    return isinstance(value, list)


def _is_map(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    return str(value)
