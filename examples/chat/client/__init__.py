"""What every client of the chat needs besides a screen: what it knows, and how that stays true."""
