"""Does an exported folder score the same where nothing but torch and transformers (and peft) is installed?

    python scripts/fresh_environment.py runs/demo/export --data data/chat/test.jsonl --data data/json_extraction/test.jsonl

Makes a virtual environment in a temporary folder, asks the folder there with hrm_align/export/stock.py, and compares with the
score in its export.json: exit code 1 if they differ by more than one answer. Takes the packages from constraints.txt, by pip.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from hrm_align.cli import exit_code_of
from hrm_align.errors import RunError, UserError
from hrm_align.evaluation.grading import grade_answers
from hrm_align.export import stock
from hrm_align.export.eval_set import questions_of
from hrm_align.export.hub import check_export
from hrm_align.export.parity import as_row
from hrm_align.models.loading import load_config, load_tokenizer, resolve
from hrm_align.rendering import DEFAULT_CONDITION
from hrm_align.run_folder import Source

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

ALLOWED_DIFFERENCE = 1  # answer


def main(argv: Sequence[str]) -> None:
    """Make the environment, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="exported")
    parser.add_argument("--data", action="append", required=True, help="the rows that it was scored on, in their order")
    parser.add_argument("--base", help="of an adapter: folder, Hub id, or `tiny`")
    arguments = parser.parse_args(argv)
    record = check_export(arguments.folder, forced=True)
    if not record.get("after"):
        raise UserError(f"{arguments.folder} was exported without rows: there is no score to compare with.")
    tokenizer = load_tokenizer(arguments.base or str(arguments.folder))
    room = load_config(arguments.base or str(arguments.folder)).max_position_embeddings - record["max_new_tokens"]
    source = Source(
        arguments.folder, arguments.folder, settings={"condition": record["condition"] or DEFAULT_CONDITION}
    )
    examples = questions_of(source, arguments.data, record["limit"], tokenizer, room).examples
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch) / "rows.jsonl"
        rows.write_text("".join(json.dumps(as_row(example)) + "\n" for example in examples), encoding="utf-8")
        python = fresh_python(
            Path(scratch) / "environment", ["torch", "transformers", *(["peft"] if arguments.base else [])]
        )
        command = [python, "-I", stock.__file__, str(arguments.folder.resolve()), str(rows)]
        command += ["--max_new_tokens", str(record["max_new_tokens"])]
        command += ["--base", resolve(arguments.base)] if arguments.base else []
        done = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
    if done.returncode:
        raise RunError(f"the folder cannot be used there: {done.stderr.strip()[-600:]}")
    answers = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    right = sum(grade.value == 1 for grade in grade_answers(record["match"], answers, examples))
    score = record["after"]
    print(f"{right} of {len(examples)} right in a fresh environment, {score['correct']} of {score['n']} in its card")
    if len(examples) != score["n"] or abs(right - score["correct"]) > ALLOWED_DIFFERENCE:
        raise RunError("the folder does not score there what its card says.")


def fresh_python(folder: Path, packages: Sequence[str]) -> str:
    """The interpreter of a new virtual environment with these packages, in the versions of constraints.txt."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS), *packages], check=True)
    return python


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
