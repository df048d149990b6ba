"""Recipes: the dataclasses of their keys, the strict parser of YAML and flags, and rules between keys."""
