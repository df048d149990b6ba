"""`hrm-align doctor MODEL [--fix]`: what is wrong with a checkpoint, and the mending of what can be mended.

Exit code 0: sound. 1: findings remain. 2: there is no such checkpoint, or it is no HRM-Text.
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
from hrm_align.models.doctor.fix import diagnose, mend
from hrm_align.models.loading import TINY, resolve
from hrm_align.output import emit, results

FILES = ["*.json", "*.safetensors", "*.jinja"]  # what the doctor reads


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = PathParser("doctor", "Check a checkpoint's config, weights and tokenizer, and mend what can be mended.")
    parser.add_argument("model", help="checkpoint folder, Hub id, or `tiny`")
    parser.add_argument("--fix", action="store_true", help="mend it; each file that changes is kept as <name>.bak")
    arguments = parser.parse_args(argv)

    folder = checkpoint_folder(arguments.model, writable=arguments.fix)
    mended, written = mend(folder) if arguments.fix else ([], [])
    findings = diagnose(folder)
    if arguments.json:
        emit(json.dumps(report(arguments.model, findings, mended, written)))
    else:
        show(arguments.model, findings, mended, written)
    if findings:
        raise SystemExit(1)


def checkpoint_folder(name: str, *, writable: bool) -> Path:
    """The folder of a model; a Hub id is downloaded.

    Raises:
        UserError: if there is none, or it is not the user's to write.
    """
    place = resolve(name)
    if Path(place).is_dir():
        if writable and name == TINY:
            raise UserError(f"--fix does not write into the package ({TINY!r}): copy the model first.")
        return Path(place)
    if writable:
        raise UserError(f"--fix cannot write to {name} on the Hub: download it into a folder, and name the folder.")
    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"cannot load {name}: neither a folder here nor reachable on the Hub ({reason}).") from error


def report(model: str, findings: list[Finding], mended: list[Finding], written: list[str]) -> dict[str, Any]:
    """The result as one object for programs."""
    return {
        "model": model,
        "sound": not findings,
        "findings": [_entry(finding) for finding in findings],
        "mended": [_entry(finding) for finding in mended],
        "written": written,
    }


def _entry(finding: Finding) -> dict[str, Any]:
    fields = {name: getattr(finding, name) for name in ("check", "problem", "remedy")}
    return {**fields, "mendable": finding.mend is not None}


def show(model: str, findings: list[Finding], mended: list[Finding], written: list[str]) -> None:
    """Print what was mended, what is left, and the verdict."""
    console = Console(file=results(), highlight=False)

    def line(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    for finding in mended:
        line(f"mended   {finding.problem}", "green")
    if written:
        line(f"written  {', '.join(dict.fromkeys(written))} (what stood there: <name>.bak)")
    for finding in findings:
        line(f"found    {finding.problem}", "red")
        line(f"         {finding.remedy[0].upper()}{finding.remedy[1:]}" + ("  [--fix]" if finding.mend else ""))
    line(f"{model} is sound." if not findings else f"{model}: {len(findings)} findings.")
