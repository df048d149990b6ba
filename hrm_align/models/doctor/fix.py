"""Run all checks on a checkpoint, and fix their findings in its files. No weight's value is changed.

Each changed file is written under a temporary name, flushed and renamed; the old file remains as `<name>.bak` (`.bak.1`
if that exists). After a kill at any moment the folder has either the old or the new file. Checks run in the order in
which their findings must be fixed.
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
    read_checkpoint,
    read_document,
)
from hrm_align.models.doctor.weight_checks import save_fused

SEAL = "manifest.json"  # hashes of the files of a run's checkpoint-N


def fix_checkpoint(folder: Path) -> tuple[list[Finding], list[str]]:
    """Apply all fixes that exist for a checkpoint's findings.

    Args:
        folder: folder of a saved model; without a fixable finding no file is changed.

    Returns:
        The fixed findings, and the names of the written files.

    Raises:
        UserError: if the folder has no HRM-Text, if a manifest seals it, or if a file cannot be written.
    """
    fixed: list[Finding] = []
    written: list[str] = []
    for _ in range(3):  # the chat template can be checked only after its tokenizer is fixed
        checkpoint = read_checkpoint(folder)
        findings = [finding for finding in examine(checkpoint) if finding.fix]
        if not findings:
            break
        if (folder / SEAL).exists():
            raise UserError(
                f"{folder} is a run's checkpoint with the hashes of its files in {SEAL}; after a fix no run could resume from "
                f"it. Copy the folder, delete {SEAL} in the copy, and fix the copy."
            )
        for finding in findings:
            assert finding.fix is not None
            finding.fix(checkpoint)
        fixed += findings
        written += save(checkpoint)
    return fixed, written


def save(checkpoint: Checkpoint) -> list[str]:
    """Write the files that fixes have changed; each old file remains as `<name>.bak`.

    Returns:
        The names of the written files.

    Raises:
        UserError: if a file cannot be written.
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
            f"{checkpoint.folder} cannot be fixed ({error.strerror or error}). No file was lost; check the free space and "
            "the permissions."
        ) from error
    return written


def diagnose(folder: Path) -> list[Finding]:
    """Run all checks on a checkpoint, and return its findings in the order in which to fix them.

    Args:
        folder: folder of a saved model.

    Raises:
        UserError: if config.json cannot be read, or the model is no HRM-Text.
    """
    checkpoint = read_checkpoint(folder)
    return [*examine(checkpoint), *weight_checks.finite(checkpoint)]


def examine(checkpoint: Checkpoint) -> list[Finding]:
    """Run all checks except `weight_checks.finite`, which reads all weights and whose findings have no fix."""
    faults = [*config_checks.files(checkpoint), *config_checks.numbers(checkpoint)]
    if any(finding.check == "numbers" for finding in faults):
        return faults  # all other checks need these numbers
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
