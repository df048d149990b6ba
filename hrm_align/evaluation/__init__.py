"""Held-out scores: greedy answers graded with intervals, pass@k, and how they are told."""
