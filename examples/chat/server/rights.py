"""Who may do what in a room: a table of roles and actions, and the rules for changing roles."""

from __future__ import annotations

from typing import Final, Literal

from examples.chat.api import NotAllowed, Role

__all__ = ["check_appointment", "check_right"]

Action = Literal["describe", "delete"]

_ACTIONS: Final[dict[Action, tuple[tuple[Role, ...], str]]] = {
    "describe": (("owner", "moderator"), "owners and moderators describe a room"),
    "delete": (
        ("owner", "moderator"),
        "owners and moderators delete what others have said",
    ),
}

_BY_MODERATORS: Final[tuple[Role, ...]] = ("member", "banned", "left")
"""What moderators may make of whom: nobody who has rights, and nobody who gets some."""


def check_right(role: Role, action: Action) -> None:
    """Refuse an action that this role may not do.

    Raises:
        NotAllowed: It may not.
    """
    allowed, rule = _ACTIONS[action]
    if role not in allowed:
        raise NotAllowed(why=rule)


def check_appointment(role: Role, before: Role, after: Role) -> None:
    """Refuse a change of somebody's role that somebody of `role` may not make.

    Raises:
        NotAllowed: They may not.
    """
    if role == "owner":
        return
    if role != "moderator":
        raise NotAllowed(why="owners and moderators decide who is in a room")
    if before not in _BY_MODERATORS or after not in _BY_MODERATORS:
        raise NotAllowed(why="owners appoint, and remove, owners and moderators")
