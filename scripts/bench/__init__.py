"""Shared code of the benchmarks: arms that take turns, each in its own process; random models of a shape; tables."""
