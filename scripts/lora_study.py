"""Compare LoRA settings on the tiny base: target modules, scale, learning rate and rank.

    python scripts/lora_study.py --out runs/lora_study                   # all of it: 50 CPU minutes
    python scripts/lora_study.py --out runs/lora_study --only scale

The study screens settings with one seed and repeats with `--seeds` (3) the settings that docs/results/lora.md makes claims about.
Each arm fine-tunes the embedded base, which was not trained on JSON, on JSON extraction for 240 steps of 1,024 packed tokens
with the trainer of the `sft` command. An arm counts as collapsed if the health monitor raised an alarm. An interrupted study
continues from `records.jsonl` in `--out`. Prints the tables of docs/results/lora.md.
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
from study.runs import Study, make_trainer, score
from study.settings import Setting, count_documents, fine_tuning
from study.tables import spread, table
from transformers.utils.logging import disable_progress_bar

from hrm_align.cli import run_with_exit_code
from hrm_align.config.arguments import LoraArguments
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.lora import add_adapter

RATES = {"constant": (1e-3, 3e-3, 1e-2, 3e-2), "per_application": (3e-3, 1e-2, 3e-2, 1e-1)}
BEST = {"lora_r": 8, "lora_alpha": 32.0, "lora_target_modules": ["all"], "lora_scaling": "per_application"}
RATE = 1e-2  # learning rate for BEST
FULL_RATE = 3e-3
PRESETS = (["stacks"], ["high"], ["low"], ["attention"], ["mlp"], ["head"],
           ["high", "head"], ["low", "head"], ["attention", "head"], ["mlp", "head"], ["all"])  # fmt: skip
RANKS = (1, 2, 4, 8, 16)
OPTIONS: dict[str, dict[str, Any]] = {
    "BEST, no variant": {},
    "rsLoRA": {"use_rslora": True, "lora_alpha": 8.0},  # scale alpha / sqrt(r) = 2.8; alpha / r = 4 in the other arms
    "DoRA, without the head": {"use_dora": True, "lora_target_modules": ["stacks"]},
    "OLoRA": {"init_lora_weights": "olora"},
    "PiSSA": {"init_lora_weights": "pissa"},
    "dropout 0.05": {"lora_dropout": 0.05},
}
HEAD = [
    "arm",
    "learning rate",
    "trained parameters",
    "exact match %",
    "loss",
    "first-token entropy",
    "collapsed",
    "CPU s",
]


class LoraStudy(Study):
    """A study of adapters: keys that begin with `lora_`, `use_` or `init_` configure the adapter of an arm.

    An arm without such a key trains all weights.
    """

    def train(self, setting: Setting, keys: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
        """Train and score one seed of an arm."""
        chosen = {key: value for key, value in keys.items() if key.startswith(("lora_", "use_", "init_"))}
        others = {key: value for key, value in keys.items() if key not in chosen}
        torch.manual_seed(seed)
        model: Any = setting.start(seed)
        if chosen:
            model = add_adapter(model, self.tokenizer, "tiny", LoraArguments(use_peft=True, **chosen))
        trainer = make_trainer(
            model, self.tokenizer, setting.rows(seed, count_documents(steps)), steps, seed, logging_steps=5, **others
        )
        try:
            trainer.train()
        except Exception as error:  # for example a loss that is not finite
            return {"failed": str(error).splitlines()[0]}
        assert trainer.health is not None
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        alarms = trainer.health.alarms.raised
        return {**score(model, self.tokenizer, setting.held_out), "trained": trained, "alarms": alarms}

    def arm(self, name: str, keys: dict[str, Any], rate: float) -> list[str]:
        """Run an arm with one seed and return its row of the table."""
        return replace(self, seeds=1).repeated(name, keys, rate)

    def repeated(self, name: str, keys: dict[str, Any], rate: float) -> list[str]:
        """Run an arm with all seeds and return its row of the table."""
        (setting,) = self.settings
        runs = self.runs(setting, keys, rate=rate)
        whole = [run for run in runs if "failed" not in run]
        collapsed = sum(bool(run.get("alarms", True)) for run in runs)
        labels = [name, f"{rate:g}", f"{whole[0]['trained']:,}" if whole else ""]
        if not whole:
            return [*labels, "", "", "", f"{collapsed} of {len(runs)}", ""]
        measured = (("exact_match", 1, 100), ("loss", 2, 1), ("first_token_entropy", 2, 1))
        cells = [spread((run[key] for run in whole), digits, factor) for key, digits, factor in measured]
        seconds = spread((run["cpu_seconds"] for run in whole), 0)
        return [*labels, *cells, f"{collapsed} of {len(runs)}", seconds]


def scale(study: LoraStudy) -> list[str]:
    """Compare scaling rules, alpha / r and learning rates on all layers at rank 8, and full fine-tuning."""
    rows = [study.arm("full fine-tuning", {}, FULL_RATE)]
    for rule, rates in RATES.items():
        for alpha in (8.0, 32.0):
            keys = BEST | {"lora_alpha": alpha, "lora_scaling": rule}
            rows += [study.arm(f"{rule}, alpha = {alpha / 8:g} r", keys, rate) for rate in rates]
    return table(HEAD, rows)


def claims(study: LoraStudy) -> list[str]:
    """Run with all seeds: both scaling rules at their best rate, the stacks without the head, and full fine-tuning."""
    constant, stacks = BEST | {"lora_scaling": "constant"}, BEST | {"lora_target_modules": ["stacks"]}
    rows = [
        study.repeated("full fine-tuning", {}, FULL_RATE),
        study.repeated("constant, alpha = 4 r", constant, RATE),
        study.repeated("per_application, alpha = 4 r", BEST, RATE),
        study.repeated("per_application, alpha = 4 r, on `stacks`", stacks, RATE),
    ]
    return table(HEAD, rows)


def preset(study: LoraStudy) -> list[str]:
    """Compare the target modules."""
    rows = [study.arm(f"`{', '.join(names)}`", BEST | {"lora_target_modules": names}, RATE) for names in PRESETS]
    return table(HEAD, rows)


def rank(study: LoraStudy) -> list[str]:
    """Compare ranks at alpha = 4 r."""
    rows = [study.arm(f"r = {r}", BEST | {"lora_r": r, "lora_alpha": 4.0 * r}, RATE) for r in RANKS]
    return table(HEAD, rows)


def option(study: LoraStudy) -> list[str]:
    """Compare PEFT's variants of LoRA."""
    return table(HEAD, [study.arm(name, BEST | keys, RATE) for name, keys in OPTIONS.items()])


def memory(study: LoraStudy) -> list[str]:
    """Measure the peak memory of ten steps, each arm in its own process."""
    arms = {
        "full fine-tuning": {},
        "`all`, r = 8": BEST,
        "`stacks`, r = 8": BEST | {"lora_target_modules": ["stacks"]},
    }
    rows = []
    for name, keys in arms.items():
        measured = study.records.measured({"memory": keys}, partial(in_fresh_process, partial(_peak, keys)))
        increase = measured["peak"] - measured["before"]
        rows.append([name, f"{measured['before'] / 2**20:.0f}", f"{increase / 2**20:.0f}"])
    return table(["arm", "MiB before training", "MiB more at the peak"], rows)


def _peak(keys: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    base, tokenizer = load_model_and_tokenizer("tiny")
    setting = fine_tuning(base, tokenizer, "JSON", ["data/json_extraction"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    model: Any = add_adapter(base, tokenizer, "tiny", LoraArguments(use_peft=True, **keys)) if keys else base
    make_trainer(model, tokenizer, setting.rows(0, count_documents(10)), 10).train()
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
    """Run the requested parts and print their tables. Raises UserError if --seeds or --steps is below 1."""
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
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
