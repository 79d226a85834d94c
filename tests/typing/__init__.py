"""What type checkers say, tested."""
