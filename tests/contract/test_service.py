"""Tests of `framerpc.contract.service`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest

from framerpc.contract.service import (
    bound_methods,
    method,
    method_spec_of,
    service,
    spec_of,
)
from framerpc.errors import ConfigurationError
from tests.contract.examples import Numbers, Things


@service(name="calc")
class Contract:
    """Arithmetic as a service."""

    @method(idempotent=True)
    async def add(self, a: int, b: int = 0) -> int:
        """Add two numbers."""
        raise NotImplementedError

    @method
    def count(self, upto: int) -> AsyncGenerator[int, None]:
        raise NotImplementedError

    @method
    async def divide(self, a: int, b: int) -> float:
        raise NotImplementedError


class Calc(Contract):
    """An implementation."""

    async def add(self, a: int, b: int = 0) -> int:
        return a + b

    async def count(self, upto: int) -> AsyncGenerator[int, None]:
        for n in range(upto):
            yield n

    async def secret(self) -> str:
        return "hidden"


def test_spec_lists_the_methods() -> None:
    """A service has a name, a docstring and its decorated functions, by attribute."""
    spec = spec_of(Numbers)
    assert (spec.name, spec.doc, spec.service) == (
        "numbers",
        "Streams, in all directions.",
        Numbers,
    )
    assert list(spec.methods) == ["count", "total", "squares", "blocking"]
    assert spec.methods["count"].name == "numbers/count"
    assert spec.methods["count"].service_doc == spec.doc


def test_name_is_that_of_the_class() -> None:
    """Without a name the class gives its own."""
    assert spec_of(Things).methods["greet"].name == "Things/greet"


def test_instances_have_the_spec_of_their_class() -> None:
    """A spec is made once for a class, and shared by its instances."""
    assert spec_of(Things()) is spec_of(Things)


def test_names_of_methods_can_be_given() -> None:
    """A method may have another name on the wire than in Python."""

    @service(name="s")
    class Service:
        @method(name="list")
        async def list_all(self) -> list[int]:
            return []

    assert spec_of(Service).methods["list_all"].name == "s/list"


def test_annotations_may_name_what_is_in_the_class() -> None:
    """A nested class, and the service itself, can be used in annotations."""

    @service
    class Service:
        @dataclass
        class Inner:
            a: int

        @method
        async def get(self) -> Inner:
            return self.Inner(1)

    assert spec_of(Service).methods["get"].result is Service.Inner


def test_static_and_class_methods_are_methods() -> None:
    """`@staticmethod` and `@classmethod` go above `@method`."""

    @service
    class Service:
        @staticmethod
        @method
        async def static(a: int) -> int:
            return a

        @classmethod
        @method
        async def of_class(cls, a: int) -> str:
            return cls.__name__ * a

    spec = spec_of(Service)
    assert [len(each.parameters) for each in spec.methods.values()] == [1, 1]
    bound: dict[str, Any] = {
        each.attribute: function for each, function in bound_methods(Service())
    }
    assert bound["of_class"].__self__ is Service
    for function in (Service.static, Service.of_class):
        found = method_spec_of(function)
        assert found is not None
        assert found.name.startswith("Service/")


def test_methods_of_bases_belong_to_the_service() -> None:
    """Decorated functions are collected from all bases, under the name of the service."""

    class Mixin:
        @method
        async def mixed(self) -> None: ...

    @service
    class Base:
        @method
        async def base(self) -> int:
            return 0

    @service
    class Derived(Mixin, Base):
        @method(idempotent=True)
        async def base(self) -> int:
            return 1

    assert [each.name for each in spec_of(Derived).methods.values()] == [
        "Derived/base",
        "Derived/mixed",
    ]
    assert spec_of(Derived).methods["base"].idempotent
    assert not spec_of(Base).methods["base"].idempotent


def test_implementations_inherit_the_contract() -> None:
    """An undecorated subclass has the names, types and options of the contract."""
    spec = spec_of(Calc)
    assert (spec.name, spec.service) == ("calc", Contract)
    assert spec.methods["add"].name == "calc/add"
    assert spec.methods["add"].idempotent
    assert spec.methods["add"].doc == "Add two numbers."


def test_unimplemented_methods_are_not_registered() -> None:
    """Only what is implemented can be called, and nothing that is not declared."""
    assert [each.name for each, _ in bound_methods(Calc())] == ["calc/add", "calc/count"]
    assert bound_methods(Contract()) == []


def test_bound_methods_are_of_the_instance() -> None:
    """A server calls the methods of the very object that it was given."""
    calc = Calc()
    functions: list[Any] = [function for _, function in bound_methods(calc)]
    assert all(function.__self__ is calc for function in functions)


def test_the_function_that_runs_decides_where() -> None:
    """A plain `def` that implements an `async def` runs in a thread."""

    class Blocking(Contract):
        def add(self, a: int, b: int = 0) -> int:  # type: ignore[override]
            return a + b

    assert spec_of(Contract).methods["add"].run == "loop"
    assert spec_of(Blocking).methods["add"].run == "thread"


def test_method_spec_of_a_function_taken_from_its_class() -> None:
    """`Contract.add` is enough to know the method."""
    assert method_spec_of(Contract.add) is spec_of(Contract).methods["add"]
    assert method_spec_of(Contract().add) is spec_of(Contract).methods["add"]


def test_method_spec_of_an_inherited_function_is_the_contracts() -> None:
    """A function that a subclass inherits belongs to the class that declares it."""
    assert method_spec_of(Calc.divide) is spec_of(Contract).methods["divide"]


def test_method_spec_of_a_bare_function() -> None:
    """A decorated function outside a class has its own name."""

    @method(name="text/upper")
    def upper(text: str) -> str:
        return text.upper()

    found = method_spec_of(upper)
    assert found is not None
    assert found.name == "text/upper"


def test_undecorated_functions_have_no_spec() -> None:
    """What is not decorated is no method."""
    assert method_spec_of(Calc.secret) is None
    assert method_spec_of(Calc.add) is None
    assert method_spec_of(print) is None


def test_class_must_be_decorated() -> None:
    """Decorated functions in an undecorated class are refused, with advice."""

    class Forgotten:
        @method
        async def work(self) -> None: ...

    for use in (spec_of, bound_methods):
        with pytest.raises(ConfigurationError, match=r"@framerpc\.service$"):
            use(Forgotten())
    with pytest.raises(ConfigurationError, match=r"@framerpc\.service"):
        method_spec_of(Forgotten.work)


@pytest.mark.parametrize("thing", [3, "x", object(), int, print])
def test_other_things_are_no_services(thing: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigurationError, match="not a service"):
        spec_of(thing)


def test_reserved_name_is_refused() -> None:
    """A service cannot be named like the framework."""

    @service(name="framerpc")
    class Service:
        @method
        async def health(self) -> None: ...

    with pytest.raises(ConfigurationError, match="framework's own"):
        spec_of(Service)


def test_two_methods_cannot_share_a_name() -> None:
    """Two functions under one name on the wire are refused."""

    @service
    class Service:
        @method(name="x")
        async def one(self) -> None: ...

        @method(name="x")
        async def two(self) -> None: ...

    with pytest.raises(ConfigurationError, match="'Service/x': one and two"):
        spec_of(Service)


def test_names_of_methods_have_no_slash() -> None:
    """The slash stands between service and method."""

    @service
    class Service:
        @method(name="a/b")
        async def one(self) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Service\.one"):
        spec_of(Service)


def test_implementations_do_not_decorate() -> None:
    """A decorated function in an undecorated subclass is refused, with advice."""

    class Extra(Contract):
        @method
        async def extra(self) -> None: ...

    class Again(Contract):
        @method
        async def add(self, a: int, b: int = 0) -> int:
            return a + b

    for cls in (Extra, Again):
        with pytest.raises(ConfigurationError, match=f"decorate {cls.__name__}"):
            spec_of(cls)


def test_errors_come_with_the_spec() -> None:
    """A declaration that is impossible is found when the server or stub is made."""

    @service
    class Service:
        @method
        async def bad(self, *args: int) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Service\.bad takes \*args"):
        spec_of(Service)


def test_methods_need_self() -> None:
    """A function of a class without `self` is refused."""

    @service
    class Service:
        @method
        async def bad() -> None: ...  # type: ignore[misc]

    with pytest.raises(ConfigurationError, match="self"):
        spec_of(Service)


def test_properties_are_no_methods() -> None:
    """A property over `@method` is refused: there is nothing to call."""

    @service
    class Service:
        @property
        @method
        def value(self) -> int:
            return 1

    with pytest.raises(ConfigurationError, match=r"Service\.value is a property"):
        spec_of(Service)


def test_server_takes_an_instance() -> None:
    """A class instead of an instance is refused, with advice."""
    with pytest.raises(ConfigurationError, match=r"Things\(\)"):
        bound_methods(Things)


def test_what_the_stub_may_call_is_typed() -> None:
    """The decorators change nothing that a type checker sees."""
    greet: Any = Things().greet
    assert greet.__func__ is Things.greet
