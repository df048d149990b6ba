"""Import what the recipes need, for the server of forked processes in tests/launching.py."""

import gc

import datasets  # noqa: F401
import peft  # noqa: F401

import recipes.grpo
import recipes.sft  # noqa: F401

gc.freeze()  # keeps the garbage collector of each run from scanning these modules
