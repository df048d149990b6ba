"""Estimate the memory and work of a run before it starts, without loading or training anything."""
