"""The wire rules: bytes in, events out."""
