"""What an adapter's settings buy on the tiny base: where the delta acts, its scale, rate and rank.

    python scripts/lora_study.py --out runs/lora_study                   # all of it: 50 CPU minutes
    python scripts/lora_study.py --out runs/lora_study --only scale

Screens settings with one seed, and repeats with `--seeds` (3) what a claim is made about. The embedded base learns JSON extraction, of which it knows nothing, for 240 steps of 1,024 packed tokens, through the
trainer that users get. An arm has collapsed if the health monitor has raised an alarm. Goes on where it was interrupted
(`records.jsonl` in `--out`), and prints the tables of docs/results/lora.md.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from study.command import conditions, options
from study.meters import in_fresh_process
from study.records import Records
from study.runs import Study, score, trainer_of
from study.settings import Setting, documents_for, fine_tuning
from study.tables import spread, table
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import exit_code_of
from hrm_align.config.arguments import LoraArguments
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.lora import add_adapter

RATES = {"constant": (1e-3, 3e-3, 1e-2, 3e-2), "per_application": (3e-3, 1e-2, 3e-2, 1e-1)}
BEST = {"lora_r": 8, "lora_alpha": 32.0, "lora_target_modules": ["all"], "lora_scaling": "per_application"}
RATE = 1e-2  # of BEST
FULL_RATE = 3e-3
PRESETS = (["stacks"], ["high"], ["low"], ["attention"], ["mlp"], ["head"],
           ["high", "head"], ["low", "head"], ["attention", "head"], ["mlp", "head"], ["all"])  # fmt: skip
RANKS = (1, 2, 4, 8, 16)
OPTIONS: dict[str, dict[str, Any]] = {
    "as in the tables above": {},
    "rsLoRA": {"use_rslora": True, "lora_alpha": 8.0},  # sqrt(8) = 2.8 for 4
    "DoRA, without the head": {"use_dora": True, "lora_target_modules": ["stacks"]},
    "OLoRA": {"init_lora_weights": "olora"},
    "PiSSA": {"init_lora_weights": "pissa"},
    "dropout 0.05": {"lora_dropout": 0.05},
}
HEAD = ["arm", "rate", "trained", "exact match %", "loss", "entropy of the first token", "collapsed", "CPU s"]


class LoraStudy(Study):
    """Arms whose keys beginning with `lora_`, `use_` and `init_` are those of an adapter; without any, all is trained."""

    def train(self, setting: Setting, keys: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
        """Train and score one seed."""
        chosen = {key: value for key, value in keys.items() if key.startswith(("lora_", "use_", "init_"))}
        others = {key: value for key, value in keys.items() if key not in chosen}
        torch.manual_seed(seed)
        model: Any = setting.start(seed)
        if chosen:
            model = add_adapter(model, self.tokenizer, "tiny", LoraArguments(use_peft=True, **chosen))
        trainer = trainer_of(
            model, self.tokenizer, setting.rows(seed, documents_for(steps)), steps, seed, logging_steps=5, **others
        )
        try:
            trainer.train()
        except Exception as error:  # a loss that is no number
            return {"failed": str(error).splitlines()[0]}
        assert trainer.health is not None
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        alarms = trainer.health.alarms.raised
        return {**score(model, self.tokenizer, setting.held_out), "trained": trained, "alarms": alarms}

    def arm(self, name: str, keys: dict[str, Any], rate: float) -> list[str]:
        """The row of an arm of one seed."""
        return replace(self, seeds=1).repeated(name, keys, rate)

    def repeated(self, name: str, keys: dict[str, Any], rate: float) -> list[str]:
        """The row of an arm of all seeds."""
        (setting,) = self.settings
        runs = self.runs(setting, keys, rate=rate)
        whole = [run for run in runs if "failed" not in run]
        collapsed = sum(bool(run.get("alarms", True)) for run in runs)
        told = [name, f"{rate:g}", f"{whole[0]['trained']:,}" if whole else ""]
        if not whole:
            return [*told, "", "", "", f"{collapsed} of {len(runs)}", ""]
        measured = (("exact_match", 1, 100), ("loss", 2, 1), ("first_token_entropy", 2, 1))
        cells = [spread((run[key] for run in whole), digits, factor) for key, digits, factor in measured]
        seconds = spread((run["cpu_seconds"] for run in whole), 0)
        return [*told, *cells, f"{collapsed} of {len(runs)}", seconds]


def scale(study: LoraStudy) -> list[str]:
    """Scaling rule x alpha over r x rate, all layers, rank 8; beside them full fine-tuning."""
    rows = [study.arm("everything trained", {}, FULL_RATE)]
    for rule, rates in RATES.items():
        for alpha in (8.0, 32.0):
            keys = BEST | {"lora_alpha": alpha, "lora_scaling": rule}
            rows += [study.arm(f"{rule}, alpha = {alpha / 8:g} r", keys, rate) for rate in rates]
    return table(HEAD, rows)


def claims(study: LoraStudy) -> list[str]:
    """With all seeds: the two rules at their best, the stacks without the head, and full fine-tuning."""
    constant, stacks = BEST | {"lora_scaling": "constant"}, BEST | {"lora_target_modules": ["stacks"]}
    rows = [
        study.repeated("everything trained", {}, FULL_RATE),
        study.repeated("constant, alpha = 4 r", constant, RATE),
        study.repeated("per_application, alpha = 4 r", BEST, RATE),
        study.repeated("the same on `stacks`", stacks, RATE),
    ]
    return table(HEAD, rows)


def preset(study: LoraStudy) -> list[str]:
    """Where the delta acts."""
    rows = [study.arm(f"`{', '.join(names)}`", BEST | {"lora_target_modules": names}, RATE) for names in PRESETS]
    return table(HEAD, rows)


def rank(study: LoraStudy) -> list[str]:
    """Rank, alpha = 4 r."""
    rows = [study.arm(f"r = {r}", BEST | {"lora_r": r, "lora_alpha": 4.0 * r}, RATE) for r in RANKS]
    return table(HEAD, rows)


def option(study: LoraStudy) -> list[str]:
    """PEFT's variants of LoRA."""
    return table(HEAD, [study.arm(name, BEST | keys, RATE) for name, keys in OPTIONS.items()])


def memory(study: LoraStudy) -> list[str]:
    """Peak memory of ten steps, each arm in a process of its own."""
    arms = {
        "everything trained": {},
        "`all`, r = 8": BEST,
        "`stacks`, r = 8": BEST | {"lora_target_modules": ["stacks"]},
    }
    rows = []
    for name, keys in arms.items():
        found = study.records.measured({"memory": keys}, partial(in_fresh_process, partial(_peak, keys)))
        rows.append([name, f"{found['before'] / 2**20:.0f}", f"{(found['peak'] - found['before']) / 2**20:.0f}"])
    return table(["arm", "MiB before", "more at the peak"], rows)


def _peak(keys: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    base, tokenizer = load_model_and_tokenizer("tiny")
    setting = fine_tuning(base, tokenizer, "JSON", ["data/json_extraction"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    model: Any = add_adapter(base, tokenizer, "tiny", LoraArguments(use_peft=True, **keys)) if keys else base
    trainer_of(model, tokenizer, setting.rows(0, documents_for(10)), 10).train()
    return {"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


PARTS: dict[str, Callable[[LoraStudy], list[str]]] = {
    "scale": scale,
    "claims": claims,
    "preset": preset,
    "rank": rank,
    "option": option,
    "memory": memory,
}


def main(argv: Sequence[str]) -> None:
    """Measure what is asked for and print its tables. Raises UserError for a number below 1."""
    arguments = options(argv, __doc__, PARTS, "runs/lora_study")
    torch.set_num_threads(1)
    disable_progress_bar()
    base, tokenizer = load_model_and_tokenizer("tiny")
    setting = fine_tuning(base, tokenizer, "JSON", ["data/json_extraction"])
    study = LoraStudy(Records(arguments.out / "records.jsonl"), tokenizer, [setting], arguments.seeds, arguments.steps)
    print(conditions(study))
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            print(*part(study), sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code_of(main, sys.argv[1:]))
