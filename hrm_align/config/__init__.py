"""Recipes: dataclasses of the settings, the strict parser of YAML files and flags, and the rules between settings."""
