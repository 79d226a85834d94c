"""Broken bytes against everything that reads bytes of a stranger: `python -m tests.fuzz`."""
