"""`hrm-align doctor MODEL [--fix]`: check a checkpoint for problems, and fix those that can be fixed.

Exit codes: 0 if the checkpoint has no problem; 1 if problems remain; 2 if there is no such checkpoint, or it is not an HRM-Text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from rich.console import Console

from hrm_align.commands.common import PathParser
from hrm_align.errors import UserError
from hrm_align.models.doctor.checkpoint import Finding
from hrm_align.models.doctor.fix import diagnose, fix_checkpoint
from hrm_align.models.loading import TINY, resolve
from hrm_align.output import emit, results

FILES = ["*.json", "*.safetensors", "*.jinja"]  # files that the checks read


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = PathParser("doctor", "Check a checkpoint's config, weights and tokenizer, and fix what can be fixed.")
    parser.add_argument("model", help="checkpoint folder, Hub id, or `tiny`")
    parser.add_argument(
        "--fix", action="store_true", help="fix the problems; each changed file is first copied to <name>.bak"
    )
    arguments = parser.parse_args(argv)

    folder = checkpoint_folder(arguments.model, writable=arguments.fix)
    fixed, written = fix_checkpoint(folder) if arguments.fix else ([], [])
    findings = diagnose(folder)
    if arguments.json:
        emit(json.dumps(report(arguments.model, findings, fixed, written)))
    else:
        show(arguments.model, findings, fixed, written)
    if findings:
        raise SystemExit(1)


def checkpoint_folder(name: str, *, writable: bool) -> Path:
    """Return the folder of a checkpoint; a checkpoint on the Hub is downloaded.

    Args:
        name: checkpoint folder, Hub id, or `tiny`.
        writable: whether files will be changed.

    Raises:
        UserError: if there is no such checkpoint, or its files may not be changed.
    """
    place = resolve(name)
    if Path(place).is_dir():
        if writable and name == TINY:
            raise UserError(
                f"--fix cannot change {TINY!r}, which is part of the package. Copy the model to a folder, and name the folder."
            )
        return Path(place)
    if writable:
        raise UserError(f"--fix cannot change {name} on the Hub. Download the model to a folder, and name the folder.")
    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"cannot load {name}: there is no such folder, and the Hub cannot provide it ({reason}). Check the name and the network."
        ) from error


def report(model: str, findings: list[Finding], fixed: list[Finding], written: list[str]) -> dict[str, Any]:
    """Return the result as an object for --json."""
    return {
        "model": model,
        "sound": not findings,
        "findings": [_entry(finding) for finding in findings],
        "fixed": [_entry(finding) for finding in fixed],
        "written": written,
    }


def _entry(finding: Finding) -> dict[str, Any]:
    """Return a finding as an object for --json."""
    fields = {name: getattr(finding, name) for name in ("check", "problem", "remedy")}
    return {**fields, "fixable": finding.fix is not None}


def show(model: str, findings: list[Finding], fixed: list[Finding], written: list[str]) -> None:
    """Print the fixed problems, the remaining problems, and the verdict."""
    console = Console(file=results(), highlight=False)

    def line(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    for finding in fixed:
        line(f"fixed    {finding.problem}", "green")
    if written:
        line(f"written  {', '.join(dict.fromkeys(written))} (previous versions: <name>.bak)")
    for finding in findings:
        line(f"problem  {finding.problem}", "red")
        line(f"         {finding.remedy[0].upper()}{finding.remedy[1:]}" + ("  [--fix]" if finding.fix else ""))
    line(f"{model} has no problems." if not findings else f"{model}: {len(findings)} problems.")
