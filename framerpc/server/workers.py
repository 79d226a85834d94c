"""Where methods run that must not block the loop: the threads and processes of one server.

Both are started when they are first needed and ended with the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framerpc.call import Stream
from framerpc.errors import InvalidArgument
from framerpc.server.importable import check_importable
from framerpc.server.processes import ProcessWorkers
from framerpc.server.threads import ThreadWorkers

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.call import Body, CallContext, Handler
    from framerpc.config import Limits
    from framerpc.contract.service import MethodSpec

__all__ = ["Workers"]


class Workers:
    """The worker threads and processes of one server.

    Args:
        limits: How many of each, and how many calls may wait for one.

    Attributes:
        threads: For `def` methods.
        processes: For methods with `run="process"`.
    """

    def __init__(self, limits: Limits) -> None:
        self.threads = ThreadWorkers(limits.max_threads, limits.max_waiting_threads)
        self.processes = ProcessWorkers(limits.max_processes, limits.max_waiting_processes)

    def __repr__(self) -> str:
        return f"<Workers {self.threads} {self.processes}>"

    def process_handler(self, spec: MethodSpec, function: Callable[..., Any]) -> Handler:
        """Return the Handler of a method that runs in a worker process.

        Raises:
            ConfigurationError: It cannot; the text says why.
        """
        target = check_importable(spec, function)

        async def handle(context: CallContext, body: Body) -> Body:
            if isinstance(body, Stream):
                raise InvalidArgument("no argument is a stream")
            return await self.processes.run(context, target, body)

        return handle

    async def close(self) -> None:
        """End all threads and processes. Idempotent; a later call starts new ones."""
        try:
            await self.threads.close()
        finally:
            await self.processes.close()
