"""The command line of the chat: `python -m examples.chat`."""

from __future__ import annotations

import argparse
import sys

from examples.chat.server import add_serve


def main() -> int:
    """Run a subcommand; return an exit code."""
    parser = argparse.ArgumentParser(prog="examples.chat", description=__doc__)
    add_serve(parser.add_subparsers(required=True))
    options = parser.parse_args()
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
