"""The options of a server, checked before anything is made of them.

A server that takes a wrong option finds out when the first client comes, or the first attacker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from framerpc.config import Keepalive, Limits, Watchdog
from framerpc.given import check, check_callable, check_each, check_methods
from framerpc.pubsub.store import Store
from framerpc.server.ageing import ConnectionAge
from framerpc.server.reply_store import ReplyStore
from framerpc.topic_config import TopicLimits, TopicPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_options"]

_KINDS: Final[Mapping[str, type]] = {
    "limits": Limits,
    "keepalive": Keepalive,
    "topic_limits": TopicLimits,
    "watchdog": Watchdog,
    "connection_age": ConnectionAge,
}
_RULES: Final = ("authenticate", "authorize", "authorize_topic")
_STORES: Final[Mapping[str, type]] = {"replies": ReplyStore, "store": Store}


def check_options(**options: Any) -> None:
    """Refuse options of the wrong kind; None stands for the default of each.

    Raises:
        ConfigurationError: One is; the text names it.
    """
    for name, kind in _KINDS.items():
        if options[name] is not None:
            check(name, options[name], kind, f"a framerpc.{kind.__name__}, or None")
    for name in _RULES:
        check_callable(name, options[name], "a callable")
    for name, protocol in _STORES.items():
        check_methods(name, options[name], protocol, f"a {protocol.__name__}, or None")
    check_each("topics", options["topics"], TopicPolicy, "framerpc.TopicPolicy")
    check_each("interceptors", options["interceptors"], object, "interceptors")
    trusted: object = options["trusted"]
    if not callable(trusted):
        check("trusted", trusted, bool, "True, False, or a callable")
