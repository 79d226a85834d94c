"""The command line: serve, call, look inside, measure."""
