"""Accounts: names, and the tokens that prove them. Of a token only a hash is kept."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import unicodedata
from typing import TYPE_CHECKING, Final

from examples.chat.api import Account, NameTaken, NoSuchAccount, Registered, TooMany

if TYPE_CHECKING:
    import sqlite3

    from examples.chat.server.state.database import Transaction

__all__ = ["account_named", "account_of", "find", "folded", "moment", "register"]

MOST_ACCOUNTS: Final = 100_000
"""Anybody may make one; this is what the disk may be filled with."""

_TOKEN: Final = 24
"""Bytes of a token: nobody guesses 192 bits, so a plain hash of it is enough."""


def moment(seconds: float) -> dt.datetime:
    """Return a point in time, in seconds since 1970, as it is told."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def folded(name: str) -> str:
    """Return what is the same for names that people take for the same."""
    return unicodedata.normalize("NFKC", name).casefold()


def register(transaction: Transaction, name: str) -> Registered:
    """Make an account.

    Raises:
        NameTaken: Somebody has the name.
        TooMany: There are too many accounts.
    """
    if transaction.first("SELECT 1 FROM account WHERE folded = ?", folded(name)):
        raise NameTaken(name=name)
    if transaction.number("SELECT count(*) FROM account") >= MOST_ACCOUNTS:
        raise TooMany(what="accounts", limit=MOST_ACCOUNTS)
    token = secrets.token_urlsafe(_TOKEN)
    transaction.run(
        "INSERT INTO account (name, folded, token, since) VALUES (?, ?, ?, ?)",
        *(name, folded(name), _hash(token), transaction.now),
    )
    return Registered(Account(name, moment(transaction.now)), token)


def find(transaction: Transaction, token: str) -> str | None:
    """Return the name of the account that a token proves."""
    row = transaction.first("SELECT name FROM account WHERE token = ?", _hash(token))
    return None if row is None else row["name"]


def account_of(transaction: Transaction, name: str) -> Account:
    """Return the account of a caller."""
    row = account_named(transaction, name)
    return Account(row["name"], moment(row["since"]))


def account_named(transaction: Transaction, name: str) -> sqlite3.Row:
    """Return the row of an account.

    Raises:
        NoSuchAccount: Nobody has the name.
    """
    row = transaction.first("SELECT * FROM account WHERE folded = ?", folded(name))
    if row is None:
        raise NoSuchAccount(name=name)
    return row


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
