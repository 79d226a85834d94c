"""What several subcommands share: options for connecting, values on the command line.

A value is JSON if it can be read as JSON, otherwise text, so that `2` is a number, `Ada` a
text, and `'"2"'` the text "2".
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import framerpc
from framerpc.adapters.uvloop import run as run_loop
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine

__all__ = [
    "add_client_options",
    "client_of",
    "parse_arguments",
    "parse_value",
    "read_token",
    "render",
    "run",
]

_T = TypeVar("_T")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every subcommand that connects."""
    parser.add_argument("url", metavar="URL", help="tcp://host:port, tls://…, unix:///path")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="seconds for each call (10)"
    )
    group = parser.add_argument_group("credentials")
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="file that holds the token; otherwise $FRAMERPC_TOKEN is used, if set",
    )
    group.add_argument("--tls-ca", metavar="FILE", help="trust this certificate (authority)")
    group.add_argument("--tls-cert", metavar="FILE", help="our own certificate, for mutual TLS")
    group.add_argument("--tls-key", metavar="FILE", help="its key, if in a file of its own")


def read_token(options: argparse.Namespace) -> str | None:
    """Return the token to use. It is never taken from the command line, which others can see."""
    if options.token_file:
        return Path(options.token_file).read_text(encoding="utf-8").strip()
    return os.environ.get("FRAMERPC_TOKEN")


def client_of(options: argparse.Namespace) -> framerpc.Client:
    """Return the client that the options describe."""
    tls: ssl.SSLContext | None = None
    if options.url.startswith("tls://"):
        tls = ssl.create_default_context(cafile=options.tls_ca)
        if options.tls_cert:
            tls.load_cert_chain(options.tls_cert, options.tls_key)
    return framerpc.connect(
        options.url, timeout=options.timeout, tls=tls, token=read_token(options)
    )


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
    return json.dumps(value, ensure_ascii=False, default=_as_json)


def _as_json(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return str(value)


