"""Recipes: scripts and settings for training and export; an installed package imports them as `hrm_align.recipes`."""
