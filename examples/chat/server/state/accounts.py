"""Accounts: names, and the tokens that prove them. Of a token only a hash is kept."""

from __future__ import annotations

import datetime as dt
import hashlib
import unicodedata
from typing import TYPE_CHECKING, Final

import framerpc
from examples.chat.api import Account, NameTaken, NoSuchAccount, TooMany

if TYPE_CHECKING:
    import sqlite3

    from examples.chat.server.state.database import Transaction

__all__ = ["account_named", "account_of", "find", "folded", "moment", "register"]

MOST_ACCOUNTS: Final = 100_000
"""Anybody may make one; this is what the disk may be filled with."""


def moment(seconds: float) -> dt.datetime:
    """Return a point in time, in seconds since 1970, as it is told."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


def folded(name: str) -> str:
    """Return what is the same for names that people take for the same."""
    return unicodedata.normalize("NFKC", name).casefold()


def register(transaction: Transaction, name: str, token: str) -> Account:
    """Make an account, or return the one of this name and token.

    Raises:
        NameTaken: Somebody has the name.
        InvalidArgument: Another account has the token.
        TooMany: There are too many accounts.
    """
    known = find(transaction, token)
    if known == name:
        return account_of(transaction, name)
    if transaction.first("SELECT 1 FROM account WHERE folded = ?", folded(name)):
        raise NameTaken(name=name)
    if known is not None:
        raise framerpc.InvalidArgument("token: it is not random; make another one")
    if transaction.number("SELECT count(*) FROM account") >= MOST_ACCOUNTS:
        raise TooMany(what="accounts", limit=MOST_ACCOUNTS)
    transaction.run(
        "INSERT INTO account (name, folded, token, since) VALUES (?, ?, ?, ?)",
        *(name, folded(name), _hash(token), transaction.now),
    )
    return Account(name, moment(transaction.now))


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
    """Return what is kept: nobody guesses a random token, so a plain hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
