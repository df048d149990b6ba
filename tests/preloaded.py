"""What runs of recipes import, for a process that is forked instead of started: see tests/launching.py."""

import gc

import datasets  # noqa: F401
import peft  # noqa: F401

import recipes.grpo
import recipes.sft  # noqa: F401

gc.freeze()  # every run collects garbage, which need not look through all this
