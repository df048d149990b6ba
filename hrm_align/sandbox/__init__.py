"""Programs that a model has written are run where they can compute and do nothing else, and graded outside.

trainer                      zygote                      a process for each job
Sandbox, Worker  --jobs-->   inside.zygote  --fork-->    inside.confinement, then inside.program
answers, grading  <--------  bytes, unread  <--------    what the program has made of it

`monty` runs a part of Python where a system offers no wall.
"""

from hrm_align.sandbox.inside import Limits
from hrm_align.sandbox.jobs import Job, Outcome
from hrm_align.sandbox.pool import Sandbox
from hrm_align.sandbox.self_test import NoWall

__all__ = ["Job", "Limits", "NoWall", "Outcome", "Sandbox"]
