"""What is wrong with a checkpoint, how to mend it, and the mending: of its files, never of a weight's value.

Each fault is one that loads without an error and runs as another model, or stops a trainer, a sampler or vLLM later.

    checkpoint       the files as they lie on disk, read without believing them; what a check reports
    config_checks, token_checks, weight_checks    the checks, and weights that are saved in parts
    fix              all checks in their order, and the writing of what the fixes of their findings change
"""
