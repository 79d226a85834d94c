"""What the chat remembers: accounts, rooms, messages and files, in one SQLite file.

Functions here run inside a transaction, in the thread of the database, and know nothing of
connections. They say what is to be told to whom (`Transaction.tell…`); it is told after the commit.
"""
