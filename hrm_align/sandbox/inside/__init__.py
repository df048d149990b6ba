"""What runs in the sandbox's own processes: the standard library alone, so that they start in a tenth of a second.

A zygote forks a child for each job; the child gives up its rights and only then reads the program. The trainer's side is
one folder up, and neither imports `hrm_align` here nor is imported from here.
"""
