"""Run every check, and fix what they found in the checkpoint's files, never a weight's value.

A file is written aside, flushed and renamed; what stood there is kept as `<name>.bak` (`.bak.1` if that is taken). A
kill at any moment leaves the old checkpoint or the new one. Checks run in the order in which their findings are fixed.
"""

from __future__ import annotations

from pathlib import Path

from hrm_align.errors import UserError
from hrm_align.files import replace_file, replace_json
from hrm_align.models.doctor import config_checks, token_checks, weight_checks
from hrm_align.models.doctor.checkpoint import (
    DOCUMENTS,
    GENERATION,
    TEMPLATE,
    TOKENIZER_CONFIG,
    Checkpoint,
    Finding,
    read,
    read_document,
)
from hrm_align.models.doctor.weight_checks import save_fused

SEAL = "manifest.json"  # the hashes of a run's checkpoint-N


def mend(folder: Path) -> tuple[list[Finding], list[str]]:
    """Mend what can be mended.

    Args:
        folder: of a saved model; nothing in it is touched unless something is mended.

    Returns:
        What was mended, and the names of the files that were written.

    Raises:
        UserError: if it is no HRM-Text, or the disk refuses.
    """
    mended: list[Finding] = []
    written: list[str] = []
    for _ in range(3):  # the chat template is judged once its tokenizer is sound
        checkpoint = read(folder)
        findings = [finding for finding in examine(checkpoint) if finding.mend]
        if not findings:
            break
        if (folder / SEAL).exists():
            raise UserError(
                f"{folder} is sealed by the hashes in its {SEAL}, as a run's checkpoints are, so a run could not go on "
                f"from it once mended: copy the folder, delete {SEAL} in the copy, and mend that."
            )
        for finding in findings:
            assert finding.mend is not None
            finding.mend(checkpoint)
        mended += findings
        written += save(checkpoint)
    return mended, written


def save(checkpoint: Checkpoint) -> list[str]:
    """Write what mends have changed, each file aside and renamed, the old one kept.

    Returns:
        The names of the files that were written.

    Raises:
        UserError: if the disk refuses.
    """
    before = Checkpoint(checkpoint.folder)
    for name in DOCUMENTS:
        read_document(before, name)
    written: list[str] = []
    try:
        if checkpoint.fuse:
            written = save_fused(checkpoint)
        for name, document in checkpoint.documents.items():
            if document != before.documents.get(name) or (
                name in before.damaged and name in (TOKENIZER_CONFIG, GENERATION)
            ):
                replace_json(checkpoint.folder / name, document)
                written.append(name)
        path = checkpoint.folder / TEMPLATE
        template = checkpoint.template
        if template is not None and (not path.exists() or path.read_bytes() != template.encode()):
            replace_file(path, lambda file: file.write(template.encode()))
            written.append(TEMPLATE)
    except OSError as error:
        raise UserError(
            f"{checkpoint.folder} cannot be mended ({error.strerror or error}): nothing was lost."
        ) from error
    return written


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
