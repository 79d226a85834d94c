"""Benchmarks: every figure is a ratio to a yardstick in the same run.

`python -m benchmarks` runs all of them. Absolute figures do not carry over to another machine;
ratios nearly do.
"""
