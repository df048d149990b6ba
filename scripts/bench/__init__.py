"""What the benchmarks share: arms that take turns, each in a process of its own; random models of a shape; tables."""
