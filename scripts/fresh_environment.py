"""Check that an exported folder scores the same where only torch and transformers (and peft for an adapter) are installed.

    python scripts/fresh_environment.py runs/demo/export --data data/chat/test.jsonl --data data/json_extraction/test.jsonl

The script makes a virtual environment in a temporary folder with pip, in the versions of constraints.txt. In that environment
hrm_align/export/stock.py generates completions with the exported folder. Their score is compared with the score in export.json;
exit code 1 means that the two differ by more than one completion.
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

from hrm_align.cli import run_with_exit_code
from hrm_align.errors import RunError, UserError
from hrm_align.evaluation.grading import grade_answers
from hrm_align.export import stock
from hrm_align.export.eval_set import load_questions
from hrm_align.export.hub import check_export
from hrm_align.export.parity import as_row
from hrm_align.models.loading import load_config, load_tokenizer, resolve
from hrm_align.rendering import DEFAULT_CONDITION
from hrm_align.run_folder import Source

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

ALLOWED_DIFFERENCE = 1  # completions


def main(argv: Sequence[str]) -> None:
    """Make the environment, generate completions there and compare the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the exported folder")
    parser.add_argument(
        "--data", action="append", required=True, help="the rows of the export's score, in the same order"
    )
    parser.add_argument("--base", help="base model of an exported adapter: folder, Hub id, or `tiny`")
    arguments = parser.parse_args(argv)
    record = check_export(arguments.folder, forced=True)
    if not record.get("after"):
        raise UserError(
            f"{arguments.folder} was exported without rows, so it has no score to compare with. Export it with --data."
        )
    tokenizer = load_tokenizer(arguments.base or str(arguments.folder))
    room = load_config(arguments.base or str(arguments.folder)).max_position_embeddings - record["max_new_tokens"]
    source = Source(
        arguments.folder, arguments.folder, settings={"condition": record["condition"] or DEFAULT_CONDITION}
    )
    examples = load_questions(source, arguments.data, record["limit"], tokenizer, room).examples
    with tempfile.TemporaryDirectory() as scratch:
        rows = Path(scratch) / "rows.jsonl"
        rows.write_text("".join(json.dumps(as_row(example)) + "\n" for example in examples), encoding="utf-8")
        packages = ["torch", "transformers", *(["peft"] if arguments.base else [])]
        python = make_environment(Path(scratch) / "environment", packages)
        command = [python, "-I", stock.__file__, str(arguments.folder.resolve()), str(rows)]
        command += ["--max_new_tokens", str(record["max_new_tokens"])]
        command += ["--base", resolve(arguments.base)] if arguments.base else []
        done = subprocess.run(command, capture_output=True, text=True, cwd=scratch)
    if done.returncode:
        raise RunError(f"{arguments.folder} does not work in a fresh environment: {done.stderr.strip()[-600:]}")
    answers = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    correct = sum(grade.value == 1 for grade in grade_answers(record["match"], answers, examples))
    score = record["after"]
    print(
        f"{correct} of {len(examples)} completions are correct in a fresh environment, {score['correct']} of {score['n']} "
        "according to the model card"
    )
    if len(examples) != score["n"] or abs(correct - score["correct"]) > ALLOWED_DIFFERENCE:
        raise RunError(
            f"{arguments.folder} scores {correct} of {len(examples)} in a fresh environment, but its model card says "
            f"{score['correct']} of {score['n']}. Check that --data has the rows of the export, in the same order."
        )


def make_environment(folder: Path, packages: Sequence[str]) -> str:
    """Make a virtual environment with these packages in the versions of constraints.txt. Returns the path of its Python."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS), *packages], check=True)
    return python


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
