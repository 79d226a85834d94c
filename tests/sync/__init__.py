"""The blocking face, tested."""
