"""Tests of `framerpc.contract`."""
