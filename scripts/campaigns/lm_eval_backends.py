"""Score one checkpoint by lm_eval's `hf` backend, by this package's `hrm` backend, and by `hrm-align evaluate`, on the same rows.

    python scripts/campaigns/lm_eval_backends.py --model runs/demo/export --rows 300

For `data/chat` and `data/json_extraction`: the share of exact answers by each way, with and without lm_eval's chat template, and how
many verdicts differ from those of `evaluate`. `hf` runs in a process without hrm_align, as it does for everybody else. Prints the table
of docs/guides/evaluating.md, and exits with 1 if a verdict of `hrm` differs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

NAMES = ("chat", "json_extraction")
LIMIT = 96  # tokens of an answer
# The rows as tasks of lm_eval. It imports nothing of hrm_align, so that `hf` runs as it ships.
TASKS = """
import json, sys
import lm_eval
from lm_eval.api.registry import get_model
from lm_eval.api.task import ConfigurableTask

backend, model, rows, templated, limit = json.loads(sys.argv[1])
if backend == "hrm":
    import hrm_align

class Rows(ConfigurableTask):
    def __init__(self):
        super().__init__(config={
            "task": "rows", "output_type": "generate_until", "dataset_path": "json", "test_split": "test",
            "dataset_kwargs": {"data_files": {"test": rows}},
            "doc_to_text": lambda doc: doc["messages"][-2]["content"] if "messages" in doc else doc["prompt"],
            "doc_to_target": lambda doc: doc["messages"][-1]["content"] if "messages" in doc else doc["response"],
            "generation_kwargs": {"until": [], "max_gen_toks": limit, "do_sample": False},
            "metric_list": [{"metric": "exact_match"}],
        })

    def fewshot_context(self, doc, *args, chat_template=None, **kwargs):
        messages = doc["messages"][:-1] if "messages" in doc else [{"role": "user", "content": doc["prompt"]}]
        return chat_template(messages) if templated else "\\n".join(message["content"] for message in messages)

lm = get_model(backend).create_from_arg_obj({"pretrained": model}, {"device": "cpu", "batch_size": 16})
found = lm_eval.evaluate(lm, {"rows": Rows()}, apply_chat_template=templated, bootstrap_iters=0)["samples"]["rows"]
print("VERDICTS", json.dumps([bool(s["exact_match"] == 1) for s in sorted(found, key=lambda s: s["doc_id"])]))
"""


def verdicts_of_lm_eval(backend: str, model: Path, rows: Path, templated: bool) -> list[bool]:
    """Return for every row whether the answer is right."""
    words = json.dumps([backend, str(model), str(rows), templated, LIMIT])
    out = subprocess.run([sys.executable, "-c", TASKS, words], capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in out.splitlines() if line.startswith("VERDICTS ")]
    verdicts: list[bool] = json.loads(line.removeprefix("VERDICTS "))
    return verdicts


def verdicts_of_evaluate(model: Path, rows: Path, report: Path) -> list[bool]:
    """Return for every row whether the answer is right."""
    words = ["--model", model, "--data", rows, "--condition", "direct", "--max_new_tokens", LIMIT, "--save", report]
    subprocess.run(
        [sys.executable, "-m", "hrm_align.cli", "evaluate", *map(str, words)], check=True, capture_output=True
    )
    return [json.loads(line)["correct"] for line in report.read_text().splitlines()]


def main(argv: Sequence[str]) -> int:
    """Score the rows in each way, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="an export of `make demo`")
    parser.add_argument("--rows", type=int, default=300, help="the first rows of each test file (default 300)")
    arguments = parser.parse_args(argv)
    print("| rows | backend | chat template | exact | verdicts unlike evaluate's |\n| --- | --- | --- | --- | --- |")
    differing = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            rows = Path(folder) / f"{name}.jsonl"
            lines = (ROOT / "data" / name / "test.jsonl").read_text().splitlines(keepends=True)[: arguments.rows]
            rows.write_text("".join(lines))
            ours = verdicts_of_evaluate(arguments.model, rows, Path(folder) / f"{name}.report.jsonl")
            print(f"| {name} | hrm-align evaluate | | {sum(ours) / len(ours):.3f} | |", flush=True)
            for backend, templated in (("hrm", True), ("hf", False), ("hf", True)):
                theirs = verdicts_of_lm_eval(backend, arguments.model, rows, templated)
                unlike = sum(one != other for one, other in zip(ours, theirs, strict=True))
                differing += unlike * (backend == "hrm")
                share = sum(theirs) / len(theirs)
                print(f"| {name} | {backend} | {'yes' if templated else 'no'} | {share:.3f} | {unlike} |", flush=True)
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
