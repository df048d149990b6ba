"""Folders of runs as the recipes leave them, and the answers of `hrm-align runs` to them."""

import json
from pathlib import Path

import yaml

from tests.command_line import run
from tests.trainers.recipe_runs import write_rows

SFT = {"max_steps": 40, "use_peft": False, "generation_eval_match": "exact", "learning_rate": 0.1}


GRPO = {"max_steps": 40, "use_peft": True, "rewards": ["exact"], "learning_rate": 0.1}


def write_run(folder: Path, settings=SFT, metrics=(), final=None, **records) -> Path:
    """Write the records of a run: run/resolved.yaml, metrics.jsonl, trainer_state.json, and run/NAME.json for each record."""
    (folder / "run").mkdir(parents=True)
    if settings is not None:
        (folder / "run/resolved.yaml").write_text(yaml.safe_dump(settings))
    if metrics:
        write_rows(folder / "metrics.jsonl", list(metrics))
    if final is not None:
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": final, "max_steps": 40}))
    for name, content in records.items():
        (folder / f"run/{name}.json").write_text(json.dumps(content))
    return folder


def listed(capsys, *folders) -> dict:
    code, out, err = run(capsys, "runs", "list", *folders, "--json")
    assert code == 0, err
    return json.loads(out)


def compared(capsys, *folders) -> dict:
    code, out, err = run(capsys, "runs", "compare", *folders, "--json")
    assert code == 0, err
    return json.loads(out)


def shown(capsys, *argv) -> list[list[str]]:
    """Return the words of each line of a command's text, which is plain and at most 80 columns wide."""
    code, out, err = run(capsys, "runs", *argv)
    assert code == 0, err
    assert "\x1b" not in out and "\r" not in out
    assert max(map(len, out.splitlines())) <= 80
    return [line.split() for line in out.splitlines()]


LOST = [{"step": s, "loss": float(s)} for s in (1, 2, 3, 4)]
