"""Helpers that several test modules and the benchmarks share."""
