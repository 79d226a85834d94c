"""A chat: rooms with a history, on calls and streams alone."""
