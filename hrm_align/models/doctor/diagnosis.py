"""Every check, in the order in which to mend what it finds."""

from __future__ import annotations

from pathlib import Path

from hrm_align.models.doctor import config_checks, token_checks, weight_checks
from hrm_align.models.doctor.checkpoint import Checkpoint, read
from hrm_align.models.doctor.findings import Finding


def diagnose(folder: Path) -> list[Finding]:
    """Everything that is wrong with a checkpoint, in the order in which to mend it.

    Args:
        folder: of a saved model.

    Raises:
        UserError: if it is no HRM-Text at all.
    """
    checkpoint = read(folder)
    return [*examine(checkpoint), *weight_checks.finite(checkpoint)]


def examine(checkpoint: Checkpoint) -> list[Finding]:
    """What every check finds but `weight_checks.finite`, which reads all weights and whose findings nothing mends."""
    faults = [*config_checks.files(checkpoint), *config_checks.numbers(checkpoint)]
    if any(finding.check == "numbers" for finding in faults):
        return faults  # nothing else can be judged
    checks = [
        config_checks.architecture,
        token_checks.token_ids,
        config_checks.embedding_scale,
        config_checks.layers,
        config_checks.horizon,
        token_checks.special_tokens,
        token_checks.input_names,
        token_checks.generation,
    ]
    if checkpoint.tensors:
        checks += [
            weight_checks.sizes,
            weight_checks.fused_keys,
            weight_checks.keys_and_shapes,
            weight_checks.dtype,
            weight_checks.start_state,
        ]
    if checkpoint.tokenizer:
        checks += [token_checks.control_tokens, token_checks.template]
    return faults + [finding for check in checks for finding in check(checkpoint)]
