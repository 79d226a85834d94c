"""The engines behind topics: where histories are kept. One interface, one conformance suite."""
