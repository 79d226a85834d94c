"""The wire rules as a value: bytes in, events out, without any I/O.

`wire.Wire` is one side of one connection. It knows neither sockets nor clocks: the
`connection` room feeds it and writes what it returns.

Spec: protocol.md.
"""
