"""The adapters, tested."""
