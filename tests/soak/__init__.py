"""Long runs that look for what is left behind: `make soak`."""
