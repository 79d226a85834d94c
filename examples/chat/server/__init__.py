"""The chat's server: the service, what it remembers, and the page for browsers."""
