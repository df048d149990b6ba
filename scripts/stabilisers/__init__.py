"""The parts of stabiliser_study.py: each is a function that measures and returns the Markdown lines of its tables."""
