"""Evaluation: grade greedy answers with confidence intervals, measure pass@k, and draw reports."""
