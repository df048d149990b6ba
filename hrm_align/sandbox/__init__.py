"""Programs that a model has written are run where they can compute and do nothing else, and graded outside.

trainer                      zygote                      a process for each job
Sandbox, Worker  --jobs-->   inside.zygote  --fork-->    inside.confinement, then inside.program
answers, grading  <--------  bytes, unread  <--------    what the program has made of it
"""

from hrm_align.sandbox.inside.protocol import Limits
from hrm_align.sandbox.jobs import Job, Outcome
from hrm_align.sandbox.pool import Sandbox

__all__ = ["Job", "Limits", "Outcome", "Sandbox"]
