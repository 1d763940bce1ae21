"""Benchmarks: run one with `python -m bench.NAME` at the top of the repository."""
