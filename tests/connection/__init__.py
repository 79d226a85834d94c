"""Tests of the connection room."""
