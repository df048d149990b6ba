"""Shared code of the studies on the tiny model: records of measurements, settings, runs with several seeds, meters, tables."""
