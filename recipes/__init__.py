"""The recipes, also importable as `hrm_align.recipes` once the package is installed."""
