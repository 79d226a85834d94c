"""Stubs: objects that look like a service and call it, made from its declaration at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

from framerpc.contract.service import MethodSpec, method_spec_of, spec_of
from framerpc.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.client.client import Client

__all__ = ["make_stub", "spec_for"]

_T = TypeVar("_T")

_classes: WeakKeyDictionary[type, Any] = WeakKeyDictionary()


class _Stub:
    """Base of all stubs."""

    __slots__ = ("_client",)

    _service = ""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<stub of {self._service}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{self._service} declares no method {name!r}; only what is decorated with "
            "@framerpc.method can be called"
        )


def make_stub(client: Client, service: type[_T]) -> _T:
    """Return a stub of `service` that calls through `client`.

    Raises:
        ConfigurationError: The class is no service.
    """
    if not isinstance(service, type):  # pyright: ignore[reportUnnecessaryIsInstance] - users err
        raise ConfigurationError(f"stub() takes the service class, got {service!r}")
    known = _classes.get(service)
    if known is None:
        spec = spec_of(service)
        methods: dict[str, Any] = {
            attribute: _proxy(method) for attribute, method in spec.methods.items()
        }
        name = f"{service.__name__}Stub"
        known = type(name, (_Stub,), {"__slots__": (), "_service": spec.name, **methods})
        _classes[service] = known
    return cast("_T", known(client))


def _proxy(spec: MethodSpec) -> Callable[..., Any]:
    """Return the method of a stub for one method of the service."""

    def stream(self: _Stub, *args: Any, **kwargs: Any) -> Any:
        return self._client.stream_spec(spec, args, kwargs)  # pyright: ignore[reportPrivateUsage]

    def call(self: _Stub, *args: Any, **kwargs: Any) -> Any:
        return self._client.call_spec(spec, args, kwargs)  # pyright: ignore[reportPrivateUsage]

    def watch(self: _Stub, *args: Any, **kwargs: Any) -> Any:
        return self._client.watch_spec(spec, args, kwargs)  # pyright: ignore[reportPrivateUsage]

    def once(self: _Stub, *args: Any, **kwargs: Any) -> Any:
        return self._client.once_spec(spec, args, kwargs)  # pyright: ignore[reportPrivateUsage]

    single = once if spec.once else call
    many = watch if spec.watch else stream
    proxy: Any = many if spec.streams_out else single
    proxy.__name__ = proxy.__qualname__ = spec.attribute
    proxy.__doc__ = spec.doc
    return cast("Callable[..., Any]", proxy)


def spec_for(method: Callable[..., Any], *, streams: bool) -> MethodSpec:
    """Return the declaration of a method, given as it stands in its class.

    Raises:
        ConfigurationError: It is none, or its result is a stream and should not be, or is not.
    """
    spec = method_spec_of(method)
    if spec is None:
        raise ConfigurationError(
            f"{getattr(method, '__qualname__', method)} is no method of a service; decorate it "
            "with @framerpc.method in a class with @framerpc.service, or call it by its name"
        )
    if spec.streams_out is not streams:
        advice = "a stream: use stream()" if spec.streams_out else "a single value: use call()"
        raise ConfigurationError(f"the result of {spec.name} is {advice}")
    return spec
