"""A file that names endpoints, and is watched.

One address a line, with `?weight=` if it likes; empty lines and what stands behind a `#` are
ignored. The file is looked at every `interval`, off the loop. It is read when its size, its
time or its identity has changed, and taken over when it then stands still for a moment, its last
line has an end, and no line is wrong: anything else is a problem, told with file and line, and
leaves the last good set in use.

To be safe from a reader in between, write a new file beside it and rename that over it.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from framerpc.errors import ConfigurationError
from framerpc.resolvers.polling import PollingResolver
from framerpc.resolvers.static import checked_endpoint

if TYPE_CHECKING:
    from framerpc.balancing.endpoint import Endpoint

__all__ = ["FileResolver", "parse_endpoints"]

_PREFIX: Final = "file://"
_MAX_FILE: Final = 1 << 20
"""Bytes: some ten thousand endpoints. A larger file is a mistake, and is not read."""

_SETTLE: Final = 0.1
"""Seconds for which a changed file must stand still. Writers pause for less between two writes."""

_COMMENT: Final = re.compile(r"(^|\s)#.*")


class _Glance(NamedTuple):
    """What was seen of a file, the data only if it has changed."""

    signature: tuple[int, ...]  # identity, size and time
    data: bytes | None


class FileResolver(PollingResolver):
    """The endpoints that a file names; it is watched.

    Args:
        path: The file; "file:///etc/app/endpoints" means the same as its path.
        interval: Seconds between two looks.
        timeout: Seconds after which a look that has not ended is a problem: the file system
            hangs.
        pause: Seconds between two looks at least, whoever asks.

    Raises:
        ConfigurationError: The path is empty, or a duration is not above 0.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        interval: float = 2.0,
        timeout: float = 10.0,
        pause: float = 0.5,
    ) -> None:
        text = os.fspath(path).removeprefix(_PREFIX)
        if not text:
            raise ConfigurationError(f"{path!r} names no file; write file:///path/of/file")
        super().__init__(text, interval=interval, timeout=timeout, pause=pause)
        self._path = Path(text)
        self._signature: tuple[int, ...] | None = None  # of what was read last
        self._endpoints: tuple[Endpoint, ...] = ()
        self._error: ConfigurationError | None = None

    async def look(self) -> tuple[Endpoint, ...]:
        """Look at the file, and read it if it has changed."""
        try:
            seen = await asyncio.to_thread(_glance, self._path, self._signature)
            if seen.data is not None and self._endpoints:
                await asyncio.sleep(_SETTLE)
                again = await asyncio.to_thread(_glance, self._path, seen.signature)
                if again.data is not None:
                    raise ConfigurationError(f"{self.source} is being written")
        except OSError as exc:
            raise ConfigurationError(
                f"{self.source} cannot be read: {exc.strerror or exc}"
            ) from exc
        if seen.data is not None:
            self._take(seen.signature, seen.data)
        if self._error is not None:
            raise self._error
        return self._endpoints

    def _take(self, signature: tuple[int, ...], data: bytes) -> None:
        """Remember what the file says, or what is wrong with it, until it changes."""
        self._signature, self._error = signature, None
        try:
            self._endpoints = parse_endpoints(self.source, data)
        except ConfigurationError as error:
            self._error = error


def parse_endpoints(source: str, data: bytes) -> tuple[Endpoint, ...]:
    """Return the endpoints that the text of a file names.

    Args:
        source: The name of the file, for messages.
        data: At most 1 MiB of UTF-8.

    Raises:
        ConfigurationError: A line is wrong, none names an endpoint, or the last has no end.
    """
    if len(data) > _MAX_FILE:
        raise ConfigurationError(f"{source} is longer than {_MAX_FILE} bytes")
    found: dict[str, Endpoint] = {}
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            text = _COMMENT.sub("", line.decode()).strip()
            if not text:
                continue
            endpoint = checked_endpoint(text)
        except (ConfigurationError, UnicodeDecodeError) as exc:
            raise ConfigurationError(f"{source}:{number}: {exc}") from exc
        if number == len(lines):
            raise ConfigurationError(
                f"{source}:{number}: the last line has no end; end it with a newline, so that a "
                "file can be told from one that is being written"
            )
        if endpoint.url in found:
            raise ConfigurationError(f"{source}:{number}: {endpoint.url} is named twice")
        found[endpoint.url] = endpoint
    if not found:
        raise ConfigurationError(f"{source} names no endpoint")
    return tuple(found.values())


def _glance(path: Path, known: tuple[int, ...] | None) -> _Glance:
    """Look at a file, in a thread, and read it unless its signature is `known`."""
    if (signature := _signature(path.stat())) == known:
        return _Glance(signature, None)
    with path.open("rb") as file:
        signature = _signature(os.fstat(file.fileno()))  # of what is read, not of its successor
        return _Glance(signature, file.read(_MAX_FILE + 1))


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
