"""Import what the recipes and the tests' own functions need, for the server of forked processes in tests/launching.py."""

import gc

import datasets  # noqa: F401
import functorch.compile  # noqa: F401  which the first backward pass imports, in 0.4 s
import peft  # noqa: F401
import pytest  # noqa: F401

import hrm_align.export.pipeline  # noqa: F401
import recipes.export
import recipes.grpo  # noqa: F401
import tests.trainers.resume.runs  # noqa: F401

gc.freeze()  # keeps the garbage collector of each run from scanning these modules
