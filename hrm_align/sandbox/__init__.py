"""Sandbox for programs written by a model: run each program in a confined process and return its results.

trainer                      zygote                         a process for each job
Sandbox, Worker  --jobs-->   inside.zygote  --fork-->       inside.confinement, then inside.program
parsed outcomes  <--------   bytes, not parsed  <--------   JSON that the program may have forged

Tests that are code run in a confined process of their own, beside that of the program; see `inside.zygote`.

A confined process can compute, and has no access to files, network or other processes. Where the system supports no
confinement, `monty` runs an interpreter for a subset of Python instead.
"""

from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.jobs import CheckJob, Job, Outcome, StdinJob
from hrm_align.sandbox.pool import Sandbox
from hrm_align.sandbox.self_test import SandboxUnavailable

__all__ = ["CheckJob", "Job", "Limits", "Outcome", "Sandbox", "SandboxUnavailable", "StdinJob"]
