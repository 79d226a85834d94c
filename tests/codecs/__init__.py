"""Plain values to msgpack and back."""
