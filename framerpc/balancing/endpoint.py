"""One place where a service can be had, as a user or a resolver names it.

It knows the options of an address that concern balancing, and nothing of the address itself:
that is checked by whoever dials it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_WEIGHT", "Endpoint"]

MAX_WEIGHT: Final = 65_535
"""The largest weight of an SRV record (RFC 2782), so that any registry's weights fit."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place where a service can be had.

    Within a client its `url` identifies it: an endpoint that comes again with another weight
    is the same one, and keeps its connection and what was observed of it.

    Attributes:
        url: The address as it was written, without options: "tcp://10.0.0.1:7000".
        weight: Its share of the calls, relative to the other endpoints; 1 to 65,535.
        attributes: What else a resolver knows of it. "server_name" is the name that its
            certificate must have, where `url` holds an IP address.

    Raises:
        ConfigurationError: The weight is out of range.
    """

    url: str
    weight: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    def __post_init__(self) -> None:
        weight: object = self.weight  # users err
        if type(weight) is not int:  # True is none, either
            raise ConfigurationError(f"{self.url}: a weight is a whole number, got {weight!r}")
        if not 1 <= weight <= MAX_WEIGHT:
            raise ConfigurationError(
                f"{self.url}: a weight is at least 1 and at most {MAX_WEIGHT}, got {weight}"
            )

    def __str__(self) -> str:
        return self.url if self.weight == 1 else f"{self.url}?weight={self.weight}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Return the endpoint that `text` stands for: "tcp://10.0.0.1:7000?weight=3".

        Raises:
            ConfigurationError: It has an option that is not known, or a bad weight.
        """
        url, _, query = text.partition("?")
        weight = 1
        for option in query.split("&") if query else ():
            name, _, value = option.partition("=")
            if name != "weight":
                raise ConfigurationError(
                    f"{text!r} has an unknown option {name!r}; an endpoint has only ?weight="
                )
            if not (value.isascii() and value.isdigit()):
                raise ConfigurationError(f"{text!r}: a weight is a whole number, got {value!r}")
            weight = int(value[:10])  # enough digits to be out of range
        return cls(url, weight)
