"""One optional dependency a file: whoever wants to replace one changes one file."""
