"""What studies on the tiny model share: finished measurements, things to train, runs with every seed, meters, tables."""
