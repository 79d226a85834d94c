"""A live dashboard in the terminal, fed by a watch."""
