"""Topics with a type: declared once, used by those who publish and those who subscribe.

This module owns how the messages of a topic are encoded, and decoded into their type. Which
names are good is known to `pubsub`.

Spec: protocol.md, "Topics".
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast, get_args

from framerpc.contract import values
from framerpc.errors import ConfigurationError, InvalidArgument

__all__ = ["Topic", "encode_message", "topic_of"]

_T = TypeVar("_T")


class Topic(Generic[_T]):
    """A topic, or a pattern of topics, whose messages have a type.

    `SCORES = Topic[Score]("scores.*")` may stand wherever a topic or a pattern is asked for;
    `SCORES.at("tennis")` is the topic `scores.tennis`.

    Args:
        name: The topic, or the pattern.
        type: The type of its messages; what stands in the brackets by default.

    Attributes:
        name: The topic, or the pattern.

    Raises:
        ConfigurationError: The type cannot cross the wire (raised when it is first used).
    """

    def __init__(self, name: str, type: type[_T] | None = None) -> None:  # noqa: A002 - what users look for
        self.name = name
        self._type: Any = type
        self._decode: values.Decode | None = None

    def __repr__(self) -> str:
        return f"<Topic {self.name} of {self.type!r}>"

    def __str__(self) -> str:
        return self.name

    @property
    def type(self) -> Any:
        """The type of its messages; Any if none was given."""
        if self._type is None:
            (given,) = get_args(getattr(self, "__orig_class__", None)) or (Any,)
            self._type = Any if isinstance(given, TypeVar) else given
        return self._type

    def at(self, *tokens: str) -> Topic[_T]:
        """Return the topic with these tokens in the places of `*`, in order, and of `>`.

        Raises:
            ConfigurationError: There are more places than tokens, or fewer.
        """
        left = list(tokens)
        made: list[str] = []
        for part in self.name.split("."):
            if part == "*" and left:
                made.append(left.pop(0))
            elif part == ">" and left:
                made += left
                left = []
            else:
                made.append(part)
        name = ".".join(made)
        if left or "*" in made or ">" in made:
            raise ConfigurationError(f"{self.name} cannot be filled with {', '.join(tokens)}")
        filled: Topic[_T] = Topic(name, self.type)
        return filled

    def prepare(self) -> None:
        """Make sure that the type can cross the wire.

        Raises:
            ConfigurationError: It cannot.
        """
        if self._decode is None:
            self._decode = _decoder(self.name, self.type)

    def decode(self, data: values.Buffer) -> _T:
        """Return the message that was published.

        Raises:
            InvalidArgument: It does not fit the type; the text says where.
        """
        decode = self._decode
        if decode is None:
            self.prepare()
            return self.decode(data)
        try:
            return cast("_T", decode(data))
        except Exception as exc:
            place, text = values.explain(exc)
            where = f"{place.removeprefix('.')}: " if place else ""
            raise InvalidArgument(
                f"a message of {self.name} does not fit its type: {where}{text}"
            ) from exc


def _decoder(name: str, annotation: Any) -> values.Decode:
    carried = values.carried_type(annotation)
    try:
        values.check_type(carried)
    except values.UnsupportedTypeError as exc:
        raise ConfigurationError(f"the type of the topic {name}: {exc}") from exc
    return values.decoder(carried)


def encode_message(value: object) -> bytes:
    """Encode a message.

    Raises:
        InvalidArgument: It cannot be encoded.
    """
    try:
        return values.encode(value)
    except Exception as exc:
        text = values.explain_unencodable(exc)
        raise InvalidArgument(f"the message cannot be encoded: {text}") from exc


def topic_of(topic: str | Topic[Any], type: Any = None) -> Topic[Any]:  # noqa: A002 - as above
    """Return what a user gave as a topic or a pattern, with its type.

    Raises:
        ConfigurationError: It is neither a name nor a Topic, or the type cannot cross the wire.
    """
    if isinstance(topic, Topic):
        return topic if type is None else Topic[Any](topic.name, type)
    if not isinstance(topic, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users err
        raise ConfigurationError(f"a topic is a str or a Topic, got {topic!r}")
    return Topic[Any](topic, cast("Any", Any if type is None else type))
