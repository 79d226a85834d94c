"""What is kept between two runs, for its user alone: tokens, by server and name."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from pathlib import Path

import msgspec
import platformdirs

from examples.chat.api import ADDRESS

__all__ = ["NoToken", "address", "choose", "data", "keep", "known", "new_token"]


class NoToken(LookupError):
    """There is no account to use here, or nobody can tell which; the text says what to do."""


def address(given: str | None) -> str:
    """Return where the server is: as given, as $CHAT_URL says, or here."""
    return given or os.environ.get("CHAT_URL") or ADDRESS


def data() -> Path:
    """Return the folder for the state of a server that runs for its user alone."""
    folder = os.environ.get("CHAT_HOME")
    return (
        Path(folder).resolve() / "data" if folder else platformdirs.user_data_path("framerpc-chat")
    )


def choose(url: str, name: str | None = None) -> str:
    """Return the token to use at a server: $CHAT_TOKEN, or the one that was kept.

    Args:
        url: Where the server is.
        name: Whose; None if there is only one account.

    Raises:
        NoToken: There is none, or there are several.
        OSError: The file cannot be read.
        ValueError: The file is damaged; the text says where it is.
    """
    if name is None and (given := os.environ.get("CHAT_TOKEN")):
        return given
    tokens = _read().get(url, {})
    if name is not None:
        if name not in tokens:
            raise NoToken(f"no account {name} at {url} is known here; register it")
        return tokens[name]
    if not tokens:
        raise NoToken(f"no account at {url} is known here; register one")
    if len(tokens) > 1:
        raise NoToken(f"several accounts at {url} are known here: {', '.join(tokens)}; use --as")
    return next(iter(tokens.values()))


def new_token() -> str:
    """Return a token for an account that is to be made."""
    return secrets.token_urlsafe(24)


def known(url: str) -> bool:
    """Return whether there is an account to use at a server.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is damaged.
    """
    return bool(_read().get(url))


def keep(url: str, name: str, token: str) -> None:
    """Keep a token.

    Raises:
        OSError: The file cannot be written.
        ValueError: The file is damaged; the text says where it is.
    """
    tokens = _read()
    tokens.setdefault(url, {})[name] = token
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A new file, for its owner only from the beginning, then all of it at once.
    handle, part = tempfile.mkstemp(dir=path.parent, prefix="tokens-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(tokens, file, indent=2)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _path() -> Path:
    folder = os.environ.get("CHAT_HOME")
    return Path(folder or platformdirs.user_config_path("framerpc-chat")) / "tokens.json"


def _read() -> dict[str, dict[str, str]]:
    path = _path()
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, str]])
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); mend it, or remove it") from error
