"""`framerpc serve`: serve a Server, or a service, from a module until a signal comes."""

from __future__ import annotations

import hmac
import importlib
import logging
import os
import ssl
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from framerpc.cli.common import load_certificate, read_token, seconds
from framerpc.connection.addresses import parse_address
from framerpc.errors import ConfigurationError, Unauthenticated
from framerpc.gateway import App
from framerpc.server.server import Server

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from framerpc.cli.common import Commands
    from framerpc.connection.listen import Entrance
    from framerpc.server.peers import Credentials

__all__ = ["add_parser"]

_DEFAULT_URL: Final = "tcp://127.0.0.1:7000"

_logger: Final = logging.getLogger("framerpc.cli")


def add_parser(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "serve",
        help="serve a Server from a module",
        description=(
            "Serve MODULE:OBJECT until SIGTERM or SIGINT, then let calls in flight finish; a "
            "second signal cuts them. OBJECT is a framerpc.Server, a service (class or "
            "instance), or a function that returns one of them. The current directory is "
            "searched for MODULE first."
        ),
    )
    parser.add_argument("object", metavar="MODULE:OBJECT", help="what to serve, as app:server")
    parser.add_argument(
        "--bind",
        action="append",
        metavar="URL",
        help="where to listen, several times if need be; otherwise $FRAMERPC_BIND (separated by "
        "spaces), otherwise tcp://127.0.0.1:7000",
    )
    parser.add_argument(
        "--http",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="take WebSockets here, and answer /livez and /readyz; without --bind nothing else is "
        "bound. :PORT is 127.0.0.1:PORT. Needs framerpc[gateway]",
    )
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="a page that may connect besides those of the same host, as https://example.org, "
        "several times if need be; '*' for all",
    )
    parser.add_argument(
        "--print-urls", action="store_true", help="print one line per address once it listens"
    )
    parser.add_argument(
        "--grace",
        type=seconds,
        default=10.0,
        metavar="S",
        help="seconds that calls in flight get when it stops (10)",
    )
    group = parser.add_argument_group("credentials")
    group.add_argument("--tls-cert", metavar="FILE", help="certificate (chain) for tls://")
    group.add_argument("--tls-key", metavar="FILE", help="its key, if in a file of its own")
    group.add_argument(
        "--tls-client-ca", metavar="FILE", help="ask clients for a certificate signed by this"
    )
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="clients must show the token in this file ($FRAMERPC_TOKEN without the option)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    server = _load(options.object)
    token = read_token(options)
    if token is not None:
        server.require_token(_token_check(token))
    gateways = _gateways(server, options)
    urls: list[str] = options.bind or os.environ.get("FRAMERPC_BIND", "").split()
    if not urls and not gateways:
        urls = [_DEFAULT_URL]
    tls = _tls(options)
    if tls is not None and not any(url.startswith("tls://") for url in urls):
        raise ConfigurationError("--tls-cert is for tls:// addresses, and none is to be bound")

    def ready(server: Server) -> None:
        if options.print_urls:
            sys.stdout.write("".join(f"{url}\n" for url in server.urls))
            sys.stdout.flush()
        else:
            sys.stderr.write(f"framerpc: serving at {', '.join(server.urls)}\n")

    server.run(*urls, *gateways, tls=tls, grace=options.grace, ready=ready)
    return 0


def _gateways(server: Server, options: argparse.Namespace) -> list[Entrance]:
    """Return what serves at the addresses of --http."""
    if not options.http:
        if options.origin:
            raise ConfigurationError("--origin goes with --http")
        return []
    try:
        from framerpc.gateway.http import HttpServer  # noqa: PLC0415 - an extra
    except ImportError as exc:
        raise ConfigurationError(
            f"--http needs uvicorn and websockets ({exc}): pip install 'framerpc[gateway]'"
        ) from exc
    app = App(server, origins=options.origin, grace=options.grace)
    places: list[Entrance] = []
    for text in options.http:
        place = f"127.0.0.1{text}" if text.startswith(":") else text
        address = parse_address(f"tcp://{place}", options=())
        places.append(HttpServer(app, address.host, address.port))
    return places


def _token_check(token: str) -> Callable[[Credentials], str]:
    def authenticate(credentials: Credentials) -> str:
        if not hmac.compare_digest(token.encode(), (credentials.token or "").encode()):
            raise Unauthenticated("unknown token")
        return "token"

    return authenticate


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls_cert:
        if options.tls_key or options.tls_client_ca:
            raise ConfigurationError("--tls-key and --tls-client-ca go with --tls-cert")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_certificate(context, options)
    if options.tls_client_ca:
        try:
            context.load_verify_locations(options.tls_client_ca)
        except ssl.SSLError as exc:
            raise ConfigurationError(f"{options.tls_client_ca} holds no certificate (PEM)") from exc
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(place: str) -> Server:
    """Import MODULE:OBJECT and return the server that it is or makes."""
    module_name, colon, name = place.partition(":")
    if not colon or not module_name or not name:
        raise ConfigurationError(f"{place!r} is not of the form module:object, such as app:server")
    sys.path.insert(0, str(Path.cwd()))
    found: Any = _import(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"module {module_name} has no {name!r}")
        found = getattr(found, part)
    return _as_server(found, place)


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except SyntaxError as exc:
        problem = f"{exc.msg} ({exc.filename}, line {exc.lineno})"
        raise ConfigurationError(f"{module_name} cannot be imported: {problem}") from exc
    except ModuleNotFoundError as exc:
        if exc.name and f"{module_name}.".startswith(f"{exc.name}."):
            raise ConfigurationError(f"there is no module {module_name!r} here") from exc
        raise ConfigurationError(f"{module_name} cannot be imported: {exc}") from exc
    except Exception as exc:  # whatever the user's module does when it is imported
        _logger.info("! importing %s failed", module_name, exc_info=True)
        last = traceback.extract_tb(exc.__traceback__)[-1]
        raise ConfigurationError(
            f"{module_name} cannot be imported: {type(exc).__name__}: {exc} "
            f"({last.filename}, line {last.lineno}; framerpc -v shows the rest)"
        ) from exc


def _as_server(found: Any, place: str) -> Server:
    if isinstance(found, Server):
        return found
    if callable(found):
        try:
            found = found()
        except TypeError as exc:
            raise ConfigurationError(f"{place} cannot be called without arguments: {exc}") from exc
        if isinstance(found, Server):
            return found
    return Server(found)
