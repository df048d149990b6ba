"""Checkpoint doctor: find faults in a checkpoint's files, and fix those that need no change of a weight's value.

The checks look for faults with which a checkpoint loads without an error and runs as another model, or with which a
trainer, a sampler or vLLM fails later.

    checkpoint       reads a checkpoint's files without Transformers; the findings of checks
    config_checks, token_checks, weight_checks    the checks, and the fusing of weights that are saved in parts
    fix              runs all checks in order, and writes the files that the fixes change
"""
