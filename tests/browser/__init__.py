"""The chat's page in a real browser; `make browser`."""
