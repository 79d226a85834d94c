"""One method as both sides see it: name, options, and typed encoding of what it takes and gives.

This module owns `MethodSpec` and how it is made from a function. It does not know classes
(`service` collects their methods), nor who calls or runs a method.

Spec: protocol.md, "Methods" and "Arguments".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack

from framerpc.concurrency import check_concurrency
from framerpc.contract import values
from framerpc.contract.arguments import ArgumentsCodec
from framerpc.contract.declaration import MethodDeclaration, declaration_of
from framerpc.contract.names import check_name
from framerpc.contract.promises import check_promises
from framerpc.contract.resemblance import Resemblance
from framerpc.contract.signature import read_signature
from framerpc.errors import ConfigurationError, InvalidArgument, InvalidResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from framerpc.concurrency import ConcurrencyLimit
    from framerpc.contract.declaration import RunOption
    from framerpc.contract.signature import Parameter, Signature
    from framerpc.contract.values import Buffer, Decode

__all__ = ["MethodOptions", "MethodSpec", "Run", "function_spec", "resolve_run"]

Run: TypeAlias = Literal["loop", "thread", "process"]
"""Where a method runs: on the event loop, in a worker thread, in a worker process."""


class MethodSpec:
    """What is known about one method. Not to be changed; may be used from any thread.

    Attributes:
        name: Name on the wire, "Greeter/greet" or "add".
        attribute: Name of the Python function, "greet".
        doc: Its docstring.
        signature: As text, for people.
        idempotent: It may be sent again without harm.
        once: It is executed at most once, also when it is sent again.
        resume: The parameter that says how many items of its stream to leave out, or None.
        run: Where it runs.
        streams_in: One of its arguments is a stream.
        streams_out: Its result is a stream.
        watch: Its result is a watch: a stream of a state and what changes it.
        parameters: What it takes, without `self`.
        result: Type of its result, of an item if that is a stream, of state and change as a tuple
            if that is a watch.
        exact: Classes of results that are right as far as their class tells; None if all are.
        service_doc: The docstring of its service, or None if it is a bare function.
        max_concurrency: How many calls of it a server runs at once, or None.
        encode_arguments: Encodes what the caller wrote; see `ArgumentsCodec.encode`.
        decode_arguments: Decodes a body for the handler; see `ArgumentsCodec.decode`.
    """

    __slots__ = (
        "_decode_item",
        "_decode_result",
        "_resembles",
        "attribute",
        "decode_arguments",
        "doc",
        "encode_arguments",
        "exact",
        "idempotent",
        "max_concurrency",
        "name",
        "once",
        "parameters",
        "result",
        "resume",
        "run",
        "service_doc",
        "signature",
        "streams_in",
        "streams_out",
        "watch",
    )

    def __init__(
        self,
        name: str,
        attribute: str,
        signature: Signature,
        run: Run,
        declaration: MethodDeclaration,
    ) -> None:
        self.name = name
        self.attribute = attribute
        self.doc = signature.doc
        self.service_doc: str | None = None
        self.signature = signature.text
        self.idempotent = declaration.idempotent
        self.once = declaration.once
        self.resume = declaration.resume
        check_promises(attribute, declaration, signature)
        self.max_concurrency = declaration.max_concurrency
        self.run: Run = run
        self.streams_in = signature.stream is not None
        self.streams_out = signature.streams_out
        self.watch = signature.watch
        self.parameters: tuple[Parameter, ...] = signature.parameters
        self.result: Any = signature.result
        arguments = ArgumentsCodec(name, signature.parameters)
        # The codec's own methods: each call passes here twice.
        self.encode_arguments = arguments.encode
        self.decode_arguments = arguments.decode
        self._decode_result: Decode | None = None
        self._decode_item: Decode | None = None
        resemblance = Resemblance(Any if signature.watch else signature.result)
        self.exact = resemblance.exact
        self._resembles = resemblance.fits

    def __repr__(self) -> str:
        return f"<MethodSpec {self.name}{self.signature}>"

    def encode_result(self, value: object) -> bytes:
        """Encode what the handler returned, or one item of it if the result is a stream.

        Raises:
            InvalidResult: It cannot be encoded, or is plainly not what the method declares. (What
                is inside it is checked by who decodes it.) It names no method: it is an error
                of the call that is handled, not of one that the handler made.
        """
        try:
            body = values.encode(value)
        except Exception as exc:
            text = values.explain_unencodable(exc)
            raise InvalidResult(f"the {self._result_word} cannot be encoded: {text}") from exc
        exact = self.exact
        if exact is not None and type(value) not in exact and not self._resembles(value):
            try:
                self.decode_result(body)  # as the caller will: it may fit all the same
            except InvalidResult as exc:
                exc.method = ""
                raise
        return body

    def decode_result(self, body: Buffer) -> Any:
        """Decode a result, or one item of it if the result is a stream.

        Raises:
            InvalidResult: It does not fit the declaration.
        """
        decode = self._decode_result
        if decode is None:
            decode = self._decode_result = values.decoder(self.result)
        try:
            return decode(body)
        except Exception as exc:
            place, text = values.explain(exc)
            where = f"{place.removeprefix('.')}: " if place else ""
            error = InvalidResult(
                f"the {self._result_word} is not what the method declares: {where}{text}"
            )
            error.method = self.name
            raise error from exc

    def encode_item(self, value: object) -> bytes:
        """Encode one item of the argument that is a stream.

        Raises:
            InvalidArgument: It cannot be encoded.
        """
        try:
            return values.encode(value)
        except Exception as exc:
            raise self._bad_item("", values.explain_unencodable(exc)) from exc

    def decode_item(self, body: Buffer) -> Any:
        """Decode one item of the argument that is a stream.

        Raises:
            InvalidArgument: It does not fit the declaration.
        """
        decode = self._decode_item
        if decode is None:
            kind = next((each.annotation for each in self.parameters if each.stream), Any)
            decode = self._decode_item = values.decoder(kind)
        try:
            return decode(body)
        except Exception as exc:
            raise self._bad_item(*values.explain(exc)) from exc

    @property
    def _result_word(self) -> str:
        return "item" if self.streams_out else "result"

    def _bad_item(self, place: str, text: str) -> InvalidArgument:
        stream = next((each.name for each in self.parameters if each.stream), "stream")
        error = InvalidArgument(f"an item of {stream}{place}: {text}")
        error.method = self.name
        return error


class MethodOptions(TypedDict, total=False):
    """What can be said about a method besides its name; see `method`."""

    idempotent: bool
    once: bool
    run: RunOption
    resume: str | None
    max_concurrency: ConcurrencyLimit | None
    internal: bool


def function_spec(
    function: Callable[..., Any], name: str | None = None, **options: Unpack[MethodOptions]
) -> MethodSpec:
    """Make the spec of a bare function; what is not given comes from its `@method`, if any.

    Args:
        function: A function, a bound method, a partial, or an object with `__call__`.
        name: Name on the wire; the function's own by default.
        **options: As for `method`. `internal` lets the name begin with "framerpc/".

    Raises:
        ConfigurationError: It cannot be a method; the text says why.
    """
    internal = options.pop("internal", False)
    declared = declaration_of(function) or MethodDeclaration()
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    check_concurrency(given.get("max_concurrency"))
    declared = replace(declared, **given)
    attribute = str(getattr(function, "__name__", "") or type(function).__name__)
    name = name or declared.name or attribute
    check_name(name, internal=internal)
    signature = read_signature(function, attribute)
    if signature.parameters and _wants_self(function, signature.parameters[0].name):
        raise ConfigurationError(
            f"{function.__qualname__} belongs to a class: decorate the class with "
            "@framerpc.service and pass an instance to the server, or pass a bound method"
        )
    run = resolve_run(declared.run, signature, function, attribute)
    return MethodSpec(name, attribute, signature, run, declared)


def _wants_self(function: Callable[..., Any], first: str) -> bool:
    """Tell whether a function was taken out of a class that nobody made an instance of."""
    home = getattr(function, "__qualname__", "").rpartition(".")[0]
    return first == "self" and bool(home) and not home.endswith("<locals>")


def resolve_run(
    wanted: RunOption, signature: Signature, function: Callable[..., Any], label: str
) -> Run:
    """Decide where a method runs: `async def` on the loop, `def` in a thread unless told.

    Raises:
        ConfigurationError: It cannot run where it was told to.
    """
    if wanted not in (None, "loop", "thread", "process"):
        raise ConfigurationError(
            f'{label}: run={wanted!r} is none of "loop", "thread" and "process"'
        )
    if signature.asynchronous:
        if wanted not in (None, "loop"):
            raise ConfigurationError(f"{label} is asynchronous, so it cannot run in a {wanted}")
        return "loop"
    if wanted == "process":
        if signature.streams_out or signature.stream is not None:
            raise ConfigurationError(f"{label} has a stream, which cannot cross into a process")
        if "<lambda>" in getattr(function, "__qualname__", ""):
            raise ConfigurationError(f"{label} is a lambda, which a worker process cannot import")
    if wanted == "loop" and (signature.streams_out or signature.stream is not None):
        raise ConfigurationError(
            f"{label} iterates a stream in a plain def, which would block the event loop; "
            "make it an async def"
        )
    return wanted or "thread"
