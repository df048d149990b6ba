"""Plant faults of measured sizes, and test whether the checks with a measured rounding floor detect them.

    OMP_NUM_THREADS=1 python scripts/campaigns/planted_faults.py --out runs/planted          # about an hour, one thread
    OMP_NUM_THREADS=1 python scripts/campaigns/planted_faults.py --out runs/planted --quick  # a handful

The models have the published depth (tests/deep_models.py); three are random and one is trained. For each fault and model the
smallest size that matters is measured in float32: the size that changes 1 % of greedy tokens, or log-probabilities by 0.02 nats on
average. Then three checks run without a fault and with faults of 1, 3 and 10 times that size: merges, the gate of GRPO runs in
three precisions, and exports. The checks must stop every fault of 3 and 10 times the size, and nothing without a fault.

Each trial appends its result to `OUT/trials.jsonl`, so an interrupted campaign continues with the first missing trial. Prints the
tables of docs/results/planted-faults.md, writes `OUT/summary.json`, and exits with 1 if a trial failed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]  # for tests.deep_models, tests.parity.faults and study.tables

from planted.checks import PRECISIONS, PROMPTS, Exporting, Merging, Outcome, Trial, ask_gates, write_prompts  # noqa: E402
from planted.sizes import make_documents, measure_sizes, short_prompts  # noqa: E402
from study.tables import table  # noqa: E402
from transformers.utils.logging import disable_progress_bar  # noqa: E402

from hrm_align.cli import run_with_exit_code  # noqa: E402
from hrm_align.commands.common import at_least  # noqa: E402
from hrm_align.errors import RunError  # noqa: E402
from hrm_align.trainers.callbacks import append_json_line  # noqa: E402
from tests.deep_models import TRAINED, save_random  # noqa: E402

QUESTIONS = 64
MEASURED = 24  # prompts on which sizes are measured
TIMES = (1, 3, 10)
MUST_STOP = 3  # multiple of the smallest size that matters, from which a check must stop a fault
# Faults of each check, and the name under which their size is measured.
FAULTS = {
    "merge": {"adapter scale": "adapter scale", "one layer unmerged": "one layer unmerged"},
    "gate": {
        "causal prefill": "causal prompt",
        "causal reference": "causal prompt",
        "token types": "token types",
        "shifted positions": "shifted positions",
    },
    "export": {"adapter scale": "adapter scale", "token types": "token types"},
}


@dataclass(frozen=True)
class Model:
    """A model on which checks run.

    Args:
        name: name in tables and records.
        seed: seed of random weights; None for trained weights.
        adapter: size of the adapters' random matrices; larger for trained weights, which an adapter perturbs less.
        layer: the layer that a faulty merge leaves out.
        starts: for each fault, the size from which the search for the smallest size begins.
    """

    name: str
    seed: int | None
    adapter: float
    layer: str
    starts: dict[str, float]

    @property
    def kind(self) -> str:
        """The model's group in a table."""
        return "trained" if self.seed is None else "random"


RANDOM = {"causal prompt": 2e-3, "token types": 2e-3, "shifted positions": 5e-3, "adapter scale": 0.03}
CALM = {"causal prompt": 1.0, "token types": 1.0, "shifted positions": 0.3, "adapter scale": 0.4}
MODELS = (
    Model("random 0", 0, 1e-3, "L_module.layers.7.mlp.down_proj", RANDOM | {"one layer unmerged": 0.4}),
    Model("random 1", 1, 1e-3, "H_module.layers.3.self_attn.o_proj", RANDOM | {"one layer unmerged": 0.4}),
    Model("random 2", 2, 1e-3, "L_module.layers.14.self_attn.v_proj", RANDOM | {"one layer unmerged": 0.4}),
    Model("trained", None, 3e-2, "L_module.layers.7.mlp.down_proj", CALM | {"one layer unmerged": 30.0}),
)


@dataclass(frozen=True)
class Campaign:
    """The trials of a campaign.

    Args:
        out: folder of models, sizes and trials.
        trials: trials of each check, precision, fault and size, distributed over the models.
        honest: trials without a fault of each check and precision.
        checks: names of the checks to run.
        times: sizes of faults, in multiples of the smallest size that matters.
        quick: use one model and two faults.
    """

    out: Path
    trials: int
    honest: int
    checks: Sequence[str]
    times: Sequence[int]
    quick: bool

    @property
    def models(self) -> Sequence[Model]:
        """The models of the campaign."""
        return MODELS[:1] if self.quick else MODELS

    def models_for(self, check: str) -> Sequence[Model]:
        """Return the models on which a check runs. Exports run only on the trained model."""
        return [model for model in self.models if check != "export" or model.seed is None]

    def folder(self, model: Model) -> Path:
        """Return the folder of a model's checkpoint, which is made if it does not exist."""
        if model.seed is None:
            return TRAINED
        folder = self.out / model.name.replace(" ", "-")
        return folder if folder.exists() else save_random(folder, model.seed)

    def sizes(self, model: Model) -> dict[str, float | None]:
        """Return the smallest size that matters for each fault; measured once and then read from a file."""
        path = self.out / f"sizes-{model.name.replace(' ', '-')}.json"
        if not path.exists():
            merging = Merging(self.folder(model), model.adapter, model.layer)
            adapted = merging.adapted(seed=0)
            documents = make_documents(adapted, merging.tokenizer, short_prompts(MEASURED // (3 if self.quick else 1)))
            names = ("causal prompt", "adapter scale") if self.quick else tuple(model.starts)
            starts = {name: model.starts[name] for name in names}
            path.write_text(json.dumps(measure_sizes(adapted, documents, model.layer, starts)))
        sizes: dict[str, float | None] = json.loads(path.read_text())
        return sizes

    def pending_trials(self, check: str, model: Model, done: set[tuple]) -> Iterator[tuple[Trial, int]]:
        """Yield the trials of a model that have no record, each with its multiple of the smallest size (0 for no fault)."""
        sizes = self.sizes(model)

        def dealt(number: int) -> Iterator[int]:
            models = self.models_for(check)
            return (trial for trial in range(number) if models[trial % len(models)] is model)

        for trial in dealt(self.honest):
            if (None, 0, trial) not in done:
                yield Trial(trial, None), 0
        for times in self.times:
            for fault, measured in FAULTS[check].items():
                size = sizes.get(measured)
                if size is None:
                    continue
                for trial in dealt(self.trials):
                    if (fault, times, trial) not in done:
                        yield Trial(trial, fault, times * size), times

    def run(self, report: Callable[[str], None]) -> list[dict[str, Any]]:
        """Run the trials that have no record. Returns all records; `report` is called with progress messages."""
        path, questions = self.out / "trials.jsonl", short_prompts(QUESTIONS)
        data = write_prompts(self.out / "prompts.jsonl", questions)
        for check in self.checks:
            for precision in self.precisions(check):
                for model in self.models_for(check):
                    known = records(path)
                    done = {
                        (record["fault"], record["times"], record["trial"])
                        for record in known
                        if (record["check"], record["precision"], record["model"]) == (check, precision, model.name)
                    }
                    trials = dict(self.pending_trials(check, model, done))
                    if not trials:
                        continue
                    report(f"{check}, {precision}, {model.name}: {len(trials)} trials")
                    key = {"check": check, "precision": precision, "model": model.name, "kind": model.kind}

                    def record(trial: Trial, outcome: Outcome, key: dict = key, trials: dict = trials) -> None:
                        planted = {"fault": trial.fault, "times": trials[trial], "size": trial.size}
                        append_json_line(path, key | planted | {"trial": trial.number} | outcome.to_dict())

                    self.ask(check, precision, model, list(trials), questions, data, record)
        return records(path)

    def precisions(self, check: str) -> Sequence[str]:
        """Return the precisions in which a check runs. Merges run only in float32."""
        if self.quick:
            return ("bf16",) if check == "gate" else ("float32",)
        return {"merge": ("float32",), "gate": tuple(PRECISIONS), "export": ("float32", "bfloat16")}[check]

    def ask(
        self,
        check: str,
        precision: str,
        model: Model,
        trials: Sequence[Trial],
        questions: Sequence[str],
        data: Path,
        record: Callable[[Trial, Outcome], None],
    ) -> None:
        """Run trials on one model in one precision."""
        if check == "gate":
            ask_gates(self.folder(model), data, PRECISIONS[precision], model.adapter, trials, record)
            return
        exporting = Exporting(self.folder(model), model.adapter, model.layer)
        for trial in trials:
            chosen = random.Random(trial.number).sample(questions, PROMPTS)
            if check == "merge":
                record(trial, exporting.ask(trial, chosen))
            else:
                record(trial, exporting.ask_export(trial, chosen, precision))


def records(path: Path) -> list[dict[str, Any]]:
    """Return the records of finished trials."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def honest_rows(trials: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return table rows of the trials without a fault.

    Columns: check, precision, models, passed of how many, largest difference / floor, largest difference / limit.
    """
    rows = []
    for check, precision, kind in dict.fromkeys((t["check"], t["precision"], t["kind"]) for t in trials):
        chosen = [
            t for t in trials if (t["check"], t["precision"], t["kind"], t["fault"]) == (check, precision, kind, None)
        ]
        if chosen:
            passed = f"{sum(not t['stopped'] for t in chosen)} of {len(chosen)}"
            floor, limit = (max(t[key] for t in chosen) for key in ("over_floor", "over_limit"))
            rows.append([check, precision, kind, passed, f"{floor:.1f}", f"{limit:.2f}"])
    return rows


def fault_rows(trials: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return table rows of the trials with a fault.

    Columns: check, precision, fault, models, smallest size that matters, stopped at each multiple, smallest size that was stopped,
    and the smallest difference / limit at the smallest multiple. A value above 1 in the last column means that even smaller faults
    would be detected.
    """
    rows = []
    named = [t for t in trials if t["fault"] is not None]
    for key in dict.fromkeys((t["check"], t["precision"], t["fault"], t["kind"]) for t in named):
        chosen = [t for t in named if (t["check"], t["precision"], t["fault"], t["kind"]) == key]
        sizes = sorted({t["size"] / t["times"] for t in chosen})
        cells = []
        for times in TIMES:
            stopped = [t["stopped"] for t in chosen if t["times"] == times]
            cells.append(f"{sum(stopped)} of {len(stopped)}" if stopped else "")
        smallest = min((t["size"] for t in chosen if t["stopped"]), default=None)
        nearest = min((t["over_limit"] for t in chosen if t["times"] == TIMES[0]), default=None)
        rows.append([
            *key,
            f"{sizes[0]:.2g}" if len(sizes) == 1 else f"{sizes[0]:.2g} to {sizes[-1]:.2g}",
            *cells,
            "none" if smallest is None else f"{smallest:.2g}",
            "" if nearest is None else f"{nearest:.2g}",
        ])  # fmt: skip
    return rows


def wrong(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the failed trials: trials without a fault that were stopped, and large faults that were not."""
    return [t for t in trials if (t["stopped"] if t["fault"] is None else t["times"] >= MUST_STOP and not t["stopped"])]


def main(argv: Sequence[str]) -> None:
    """Run the trials and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/planted"), help="folder of trials and results")
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS), help="checks to run")
    parser.add_argument(
        "--trials", type=int, default=16, help="trials of each check, precision, fault and size (default 16)"
    )
    parser.add_argument(
        "--honest", type=int, default=50, help="trials without a fault of each check and precision (default 50)"
    )
    parser.add_argument(
        "--times", type=int, nargs="+", choices=TIMES, default=TIMES, help="sizes of faults (default 1 3 10)"
    )
    parser.add_argument("--quick", action="store_true", help="one random model, two faults, one trial of each")
    arguments = parser.parse_args(argv)
    at_least(arguments.trials, 1, "--trials")
    at_least(arguments.honest, 0, "--honest")
    arguments.out.mkdir(parents=True, exist_ok=True)
    disable_progress_bar()
    quick = arguments.quick
    only = [check for check in arguments.only if not quick or check != "export"]
    times = TIMES[-1:] if quick else arguments.times
    trials_each, honest_each = (1, 1) if quick else (arguments.trials, arguments.honest)
    campaign = Campaign(arguments.out.resolve(), trials_each, honest_each, only, times, quick)
    trials = campaign.run(lambda text: print(text, file=sys.stderr, flush=True))
    honest, faults = honest_rows(trials), fault_rows(trials)
    print(*table(["check", "precision", "models", "passed", "largest difference / floor", "/ limit"], honest), sep="\n")
    head = [
        "check",
        "precision",
        "fault",
        "models",
        "smallest size that matters",
        *(f"stopped at {n} x" for n in TIMES),
    ]
    print(*table([*head, "smallest size stopped", f"smallest difference / limit at {TIMES[0]} x"], faults), sep="\n")
    failed = wrong(trials)
    summary = {"trials": len(trials), "wrong": failed, "honest": honest, "faults": faults}
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=2))
    if failed:
        raise RunError(
            f"{len(failed)} of {len(trials)} trials failed: see `wrong` in {arguments.out / 'summary.json'}."
        )


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
