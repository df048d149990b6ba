"""What each training stabiliser costs and what it buys, on the tiny model, through the trainer that users get.

    python scripts/stabiliser_study.py --out runs/stabiliser_study                  # all of it: 45 CPU minutes
    python scripts/stabiliser_study.py --out runs/stabiliser_study --only horizon

Appends every finished measurement to `records.jsonl` in `--out`, so that an interrupted study goes on where it stopped,
and prints the tables of scripts/README.md. Two settings, on packed rows of 256 tokens, 1,024 tokens a step:

    scratch   a fresh tiny model learns a few families of `base_tasks`
    SFT       the embedded base learns the shipped data sets, chat and JSON extraction

Time is CPU time of one thread. Where arms are compared in time they take turns step by step (`take_turns`), so that a
busy machine slows all of them alike. Peak memory is measured in a fresh process for each arm.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import platform
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import base_tasks
import psutil
import torch
from datasets import Dataset
from make_tiny_base import ROWS_A_STEP, TOKENS_A_ROW, config_of, examples_of, new_model
from torch import Tensor, nn
from transformers import (
    HrmTextConfig,
    HrmTextForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from transformers.utils.logging import disable_progress_bar

from hrm_align.configs import SFTArguments
from hrm_align.data.collators import IGNORED, PaddedCollator
from hrm_align.data.mixture import DatasetSpec, load_examples
from hrm_align.data.tokenization import tokenize
from hrm_align.evaluation import last_turns
from hrm_align.models.ema import WeightAverage
from hrm_align.models.horizon import backbone_of
from hrm_align.models.loading import load_model_and_tokenizer, load_tokenizer, resolve
from hrm_align.rendering import renderer_of
from hrm_align.trainers.health import HealthMonitor
from hrm_align.trainers.sft import SFTTrainer

HORIZONS = (2, 3, 5, 8)
OFFICIAL = 5
STEPS_FOR_ONE = 1.53  # of horizon 2 in the time of one of 5, on the tiny model
FAMILIES = ("multiplication", "comparison", "boolean")  # a fresh model begins to learn them in 240 steps
SHIPPED = ("data/chat", "data/json_extraction")
HELD_OUT_ROWS = 400
WARMUP_STEPS = 20
TOKENS_A_DOCUMENT = 30  # below the mean, so that the rows drawn always suffice
DECAYS = (0.99, 0.999)
SKIPPED = 2  # first steps of a timed run: they allocate
WIDE = {"hidden_size": 384, "intermediate_size": 1152, "num_attention_heads": 12, "num_hidden_layers": 2}


# --- settings -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """Something to train: a model before training (by seed), rows (by seed and number), and held-out rows."""

    name: str
    source: str  # digest of the file that it begins with
    rate: float
    start: Callable[[int], HrmTextForCausalLM]
    rows: Callable[[int, int], Dataset]
    held_out: Dataset


def digest(name: str) -> str:
    """Which version of a file of the embedded base this is: the first digits of its SHA-256."""
    return hashlib.sha256((Path(resolve("tiny")) / name).read_bytes()).hexdigest()[:8]


def scratch(tokenizer: PreTrainedTokenizerFast) -> Setting:
    """A fresh model on a few families."""
    render = renderer_of(tokenizer)

    def rows(seed: int, n: int) -> Dataset:
        return tokenize(examples_of(base_tasks.training_rows(seed, n, FAMILIES)), render, TOKENS_A_ROW)[0]

    tests = [
        row
        for condition in ("direct", "cot")
        for row in base_tasks.test_rows(1, HELD_OUT_ROWS // (4 * len(FAMILIES)), condition)
        if row["group"].split("/")[0] in FAMILIES
    ]
    held_out, _ = tokenize(examples_of(tests), render, TOKENS_A_ROW)
    return Setting("scratch", digest("tokenizer.json"), 2e-3, partial(new_model, tokenizer), rows, held_out)


def fine_tuning(base: HrmTextForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Setting:
    """The embedded base on the shipped data sets, half and half."""
    render = renderer_of(tokenizer)

    def examples(split: str) -> list[list]:
        return [load_examples([DatasetSpec(path=f"{folder}/{split}.jsonl")])[0] for folder in SHIPPED]

    train = examples("train")

    def rows(seed: int, n: int) -> Dataset:
        drawn = [Random(seed).sample(part, min(len(part), n // 2)) for part in train]
        return tokenize(chain.from_iterable(drawn), render, TOKENS_A_ROW)[0]

    tests = [Random(0).sample(last_turns(part), HELD_OUT_ROWS // 2) for part in examples("test")]
    held_out, _ = tokenize(chain.from_iterable(tests), render, TOKENS_A_ROW)
    return Setting("SFT", digest("model.safetensors"), 3e-3, lambda seed: copy.deepcopy(base), rows, held_out)


def wide_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> HrmTextForCausalLM:
    """A larger shape with random weights, for time and memory alone."""
    set_seed(seed)
    hidden = WIDE["hidden_size"]
    derived = {"initializer_range": hidden**-0.5, "embedding_scale": None, "num_layers_per_stack": None}
    return HrmTextForCausalLM(HrmTextConfig(**{**config_of(tokenizer).to_dict(), **WIDE, **derived}))


SHAPES: dict[str, Callable[[PreTrainedTokenizerFast, int], HrmTextForCausalLM]] = {
    "hidden 128, 1 layer a stack": new_model,
    "hidden 384, 2 layers a stack": wide_model,
}


# --- training and scoring -------------------------------------------------------------------------------------------


def trainer_of(
    model: HrmTextForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    steps: int,
    seed: int = 0,
    kind: type[SFTTrainer] = SFTTrainer,
    callbacks: Sequence[TrainerCallback] = (),
    **keys: Any,
) -> SFTTrainer:
    """The users' trainer, silent, with some keys changed."""
    settings: dict[str, Any] = {"logging_steps": 100, "warmup_steps": WARMUP_STEPS, "lr_scheduler_type": "linear"}
    arguments = SFTArguments(
        output_dir=str(Path(tempfile.gettempdir()) / "stabiliser_study"),  # nothing is saved
        max_steps=steps,
        per_device_train_batch_size=ROWS_A_STEP,
        packing=True,
        max_length=TOKENS_A_ROW,
        train_sampling_strategy="random",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        **{**settings, **keys},
    )
    trainer = kind(model, arguments, rows, tokenizer, callbacks=callbacks)
    trainer.pop_callback(PrinterCallback)
    return trainer


def documents_for(steps: int) -> int:
    """How many documents fill that many steps."""
    return steps * ROWS_A_STEP * TOKENS_A_ROW // TOKENS_A_DOCUMENT


@torch.no_grad()
def score(model: HrmTextForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: Dataset) -> dict[str, float]:
    """Mean loss a response token, token accuracy and exact match on held-out rows.

    Exact match takes one forward: if every token of the right answer is the argmax behind those before it, greedy
    decoding writes that answer, and otherwise it does not.
    """
    collate = PaddedCollator(renderer_of(tokenizer).pad_id)
    model.eval()
    loss = tokens = right_tokens = right_answers = 0.0
    by_length = rows.sort("length")
    for first in range(0, len(rows), 50):
        batch = collate([by_length[i] for i in range(first, min(first + 50, len(rows)))])
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch, use_cache=False).logits[:, :-1].float()
        trained = labels != IGNORED
        right = (logits.argmax(dim=-1) == labels) | ~trained
        loss += nn.functional.cross_entropy(logits[trained], labels[trained], reduction="sum").item()
        tokens += trained.sum().item()
        right_tokens += (right & trained).sum().item()
        right_answers += right.all(dim=1).sum().item()
    return {
        "loss": loss / tokens,
        "token_accuracy": right_tokens / tokens,
        "exact_match": right_answers / len(rows),
        "n": len(rows),
    }


# --- records --------------------------------------------------------------------------------------------------------


class Records:
    """Finished measurements by their key, in a file that an interrupted study goes on from."""

    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.known = {self._name(record["key"]): record["value"] for record in map(json.loads, lines)}

    @staticmethod
    def _name(key: dict[str, Any]) -> str:
        return json.dumps(key, sort_keys=True)

    def measured(self, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The value of a key, measured now if it is not known yet."""
        name = self._name(key)
        if name not in self.known:
            started = time.process_time()
            value = measure()
            value["cpu_seconds"] = time.process_time() - started
            self.known[name] = value
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "value": value}) + "\n")
            print(name, f"{value['cpu_seconds']:.0f} s", file=sys.stderr, flush=True)
        return self.known[name]


@dataclass
class Study:
    """What all parts share."""

    records: Records
    tokenizer: PreTrainedTokenizerFast
    settings: list[Setting]
    seeds: int
    steps: int

    def runs(self, setting: Setting, keys: dict[str, Any], steps: int = 0, rate: float = 0.0) -> list[dict[str, Any]]:
        """Train and score one arm with every seed."""
        steps, rate = steps or self.steps, rate or setting.rate
        results = []
        for seed in range(self.seeds):
            key = {"run": setting.name, "source": setting.source, "keys": keys, "steps": steps, "rate": rate}
            key["seed"] = seed
            train = partial(self._train, setting, keys | {"learning_rate": rate}, steps, seed)
            results.append(self.records.measured(key, train))
        return results

    def _train(self, setting: Setting, keys: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
        model = setting.start(seed)
        rows = setting.rows(seed, documents_for(steps))
        extra = [WeightAverage(model, decay) for decay in DECAYS[:-1]] if "ema_decay" in keys else []
        follow = [FollowWeights(average) for average in extra]
        trainer = trainer_of(model, self.tokenizer, rows, steps, seed, callbacks=follow, **keys)
        trainer.train()
        result: dict[str, Any] = score(model, self.tokenizer, setting.held_out)
        averages = [*extra, trainer.average] if trainer.average is not None else []
        for average in averages:
            with average.applied():
                result[str(average.decay)] = score(model, self.tokenizer, setting.held_out)
        return result

    def before(self, setting: Setting) -> dict[str, Any]:
        """The score before training."""
        key = {"before": setting.name, "source": setting.source}
        return self.records.measured(key, lambda: score(setting.start(0), self.tokenizer, setting.held_out))


class FollowWeights(TrainerCallback):
    """A second average of the same run, beside the one that `ema_decay` keeps."""

    def __init__(self, average: WeightAverage):
        self._average = average

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self._average.update()


# --- time -----------------------------------------------------------------------------------------------------------


class StepClock(TrainerCallback):
    """Times the steps of a trainer but for the last; `pause` is called between two of them.

    A step lasts until the next begins: it holds what is measured and logged behind it, and fetching the next batch.
    """

    def __init__(self, pause: Callable[[], object] = lambda: None):
        self._pause = pause
        self._started: float | None = None
        self.seconds: list[float] = []

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        if self._started is not None:
            self.seconds.append(time.thread_time() - self._started)
        self._pause()
        self._started = time.thread_time()


def take_turns(trainers: Sequence[SFTTrainer]) -> list[list[float]]:
    """Train all of them for the same number of steps, one step each in turn. Returns the CPU seconds of the steps."""
    gates = [threading.Semaphore(0) for _ in trainers]

    def pass_on(index: int) -> None:
        gates[(index + 1) % len(gates)].release()
        gates[index].acquire()

    clocks = [StepClock(partial(pass_on, index)) for index in range(len(trainers))]

    def train(index: int) -> None:
        trainers[index].add_callback(clocks[index])
        gates[index].acquire()
        try:
            trainers[index].train()
        except BaseException:
            for gate in gates:  # nobody waits for the one that failed
                gate.release(1_000_000)
            raise
        gates[(index + 1) % len(gates)].release()

    with ThreadPoolExecutor(len(trainers)) as pool:
        running = [pool.submit(train, index) for index in range(len(trainers))]
        gates[0].release()
        for future in running:
            future.result()
    return [clock.seconds for clock in clocks]


def time_horizons(study: Study, shape: str, rounds: int, steps: int) -> dict[str, Any]:
    """The median CPU seconds a step of each horizon in each round. A round has fresh models in another order.

    Two models of the same shape differ by up to 4 % in time as long as they live, by where their weights lie.
    """
    rows = study.settings[0].rows(0, documents_for(steps))
    seconds: dict[str, list[float]] = {str(bp_steps): [] for bp_steps in HORIZONS}
    for one in range(rounds):
        order = HORIZONS[one % len(HORIZONS) :] + HORIZONS[: one % len(HORIZONS)]
        trainers = [
            trainer_of(SHAPES[shape](study.tokenizer, 0), study.tokenizer, rows, steps, bp_steps=bp_steps, health=False)
            for bp_steps in order
        ]
        for bp_steps, own in zip(order, take_turns(trainers), strict=True):
            seconds[str(bp_steps)].append(statistics.median(own[SKIPPED:]))
    return seconds


class EveryOther(HealthMonitor):
    """Health that rests on every other step, and takes the time of its parts.

    Steps with and without it alternate in one run: two runs differ by more than health costs.
    """

    def __init__(self, model: nn.Module):
        self.spent: dict[str, float] = defaultdict(float)  # in this step; before the hooks are made
        self.steps: list[dict[str, float]] = []
        super().__init__(model)

    def begin_step(self, measuring: bool, probing: bool) -> None:
        """Rest if the step before was measured."""
        active = len(self.steps) % 2 == 1
        self.spent = defaultdict(float)
        self.steps.append(self.spent)
        super().begin_step(measuring and active, probing and active)

    def _counted(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            if not self._measuring:
                return work(*args)
            started = time.thread_time()
            result = work(*args)
            self.spent[part] += time.thread_time() - started
            return result

        return run

    def _see_residual(self, stack: str) -> Any:
        return self._counted("residual RMS of 8 passes", super()._see_residual(stack))

    def _see_outputs(self, *args: Any) -> None:
        self._counted("entropy and accuracy of answers", super()._see_outputs)(*args)

    def measure_gradients(self, clipped_by: float) -> None:
        """Counted."""
        self._counted("gradient norms, sample of weights", super().measure_gradients)(clipped_by)

    def end_step(self) -> dict[str, float]:
        """Counted, the probe apart."""
        probe, self.probe = self.probe, None
        measured = self._counted("update ratios", super().end_step)()
        self.probe = probe
        if measured and probe is not None and self._probing:
            started = time.thread_time()
            measured["probe_kl"] = probe.divergence(self.model)
            self.spent["probe"] = time.thread_time() - started
        return measured


def time_health(study: Study, steps: int) -> dict[str, Any]:
    """CPU seconds of each step of a run, and of the parts of health in it."""
    clock = StepClock()
    rows = study.settings[0].rows(0, documents_for(steps))
    model = study.settings[0].start(0)
    trainer = trainer_of(model, study.tokenizer, rows, steps, callbacks=[clock], logging_steps=1)
    assert trainer.health is not None
    trainer.health.detach()
    trainer.health = monitor = EveryOther(model)
    trainer.train()
    return {"seconds": clock.seconds, "parts": monitor.steps[: len(clock.seconds)]}


def time_update(study: Study, times: int) -> dict[str, Any]:
    """CPU seconds of an optimizer's step, and of an update of the weight average, taking turns."""
    work: dict[str, Callable[[], object]] = {}
    rows = study.settings[0].rows(0, documents_for(1))
    for name in ("adamw_torch_fused", "adam_atan2"):
        model = study.settings[0].start(0)
        trainer = trainer_of(model, study.tokenizer, rows, 1, optim=name, ema_decay=DECAYS[-1])
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        work[name] = trainer.create_optimizer().step
        assert trainer.average is not None
        work["ema_decay"] = trainer.average.update
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(times):
        for name, step in work.items():
            started = time.thread_time()
            step()
            seconds[name].append(time.thread_time() - started)
    return {name: statistics.median(own) for name, own in seconds.items()}


# --- memory ---------------------------------------------------------------------------------------------------------


class GraphMeter(SFTTrainer):
    """Counts, in each forward, the bytes kept for the backward pass and the stack passes that built a graph."""

    saved_bytes = 0
    passes = 0

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss. Weights are not counted, and memory that several tensors share is counted once."""
        weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        storages: dict[int, int] = {}
        carrying: list[bool] = []

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        def see(stack: nn.Module, given: Any, output: Any) -> None:
            carrying.append((output if isinstance(output, Tensor) else output[0]).requires_grad)

        backbone = backbone_of(model)
        handles = [stack.register_forward_hook(see) for stack in (backbone.L_module, backbone.H_module)]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = super().compute_loss(model, inputs, *args, **kwargs)
        for handle in handles:
            handle.remove()
        self.saved_bytes, self.passes = sum(storages.values()), sum(carrying)
        return loss


def peak_memory(shape: str, bp_steps: int) -> dict[str, int]:
    """Three steps in this process, which must be fresh: its peak only rises."""
    torch.set_num_threads(1)
    tokenizer = load_tokenizer("tiny")
    examples = examples_of(base_tasks.training_rows(0, documents_for(3), FAMILIES))
    rows, _ = tokenize(examples, renderer_of(tokenizer), TOKENS_A_ROW)
    model = SHAPES[shape](tokenizer, 0)
    trainer = trainer_of(model, tokenizer, rows, 3, kind=GraphMeter, bp_steps=bp_steps, health=False)
    assert isinstance(trainer, GraphMeter)
    before = psutil.Process().memory_info().rss
    trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return {"saved_bytes": trainer.saved_bytes, "passes": trainer.passes, "rss_bytes": peak - before}


def in_fresh_process(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run in a child of a process that has imported the libraries and done nothing else."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["hrm_align.trainers.sft"])
    with context.Pool(1) as pool:
        return pool.apply(work)


# --- the four parts, each a list of Markdown lines -------------------------------------------------------------------


def spread(values: Iterable[float], digits: int = 2, factor: float = 1.0) -> str:
    """Mean and range."""
    scaled = [factor * value for value in values]
    return f"{statistics.mean(scaled):.{digits}f} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def middle(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def apart(arm: Sequence[dict], reference: Sequence[dict], name: str = "loss") -> str:
    """Whether the worst seed of one is better than the best of the other."""
    ours, theirs = [run[name] for run in arm], [run[name] for run in reference]
    if ours == theirs:
        return ""
    return "lower" if max(ours) < min(theirs) else "higher" if min(ours) > max(theirs) else "no"


def quality(runs: Sequence[dict], reference: Sequence[dict]) -> list[str]:
    """Cells: loss, whether it differs, token accuracy, exact match, whether it differs."""
    return [
        spread(run["loss"] for run in runs),
        apart(runs, reference),
        spread((run["token_accuracy"] for run in runs), 1, 100),
        spread((run["exact_match"] for run in runs), 1, 100),
        apart(runs, reference, "exact_match"),
    ]


QUALITY = ["loss", "apart?", "token accuracy %", "exact match %", "apart?"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown."""
    return ["", *("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))]


def before_row(study: Study, setting: Setting, empty: int) -> list[str]:
    """The row of the model before training; `empty` columns stand between its name and its loss."""
    start = study.before(setting)
    accuracy = [f"{100 * start[name]:.1f}" for name in ("token_accuracy", "exact_match")]
    return [setting.name, "before", *[""] * empty, f"{start['loss']:.2f}", "", *accuracy, ""]


def horizon_costs(study: Study) -> list[str]:
    """Time and memory by horizon."""
    rows = []
    for shape, rounds, steps in zip(SHAPES, (6, 4), (14, 7), strict=True):
        key = {"time": shape, "rounds": rounds, "steps": steps}
        seconds = study.records.measured(key, partial(time_horizons, study, shape, rounds, steps))
        for bp_steps in HORIZONS:
            work = partial(in_fresh_process, partial(peak_memory, shape, bp_steps))
            memory = study.records.measured({"memory": shape, "bp_steps": bp_steps}, work)
            own, reference = seconds[str(bp_steps)], seconds[str(OFFICIAL)]
            ratios = [ours / theirs for ours, theirs in zip(own, reference, strict=True)]
            cells = [shape, str(bp_steps), f"{memory['passes']} of 8", f"{statistics.median(own):.2f}", middle(ratios)]
            rows.append([*cells, *(f"{memory[name] / 2**20:.0f}" for name in ("saved_bytes", "rss_bytes"))])
    head = ["shape", "horizon", "passes with a graph", "CPU s a step", "over horizon 5, by round"]
    return table([*head, "kept for backward, MiB", "peak RSS above the start, MiB"], rows)


def horizon(study: Study) -> list[str]:
    """Horizons 2, 3, 5, 8, the official warm-up, and the shortest for as long as 5 takes."""
    costs = horizon_costs(study)
    arms: dict[str, tuple[dict[str, Any], int]] = {str(bp): ({"bp_steps": bp}, study.steps) for bp in HORIZONS}
    arms["2 to 5 over 20 %"] = ({"bp_min_steps": 2, "bp_max_steps": 5, "bp_warmup_ratio": 0.2}, study.steps)
    arms["2, for the time of 5"] = ({"bp_steps": 2}, round(study.steps * STEPS_FOR_ONE))
    rows = []
    for setting in study.settings:
        reference = study.runs(setting, {"bp_steps": OFFICIAL})
        rows.append(before_row(study, setting, 1))
        for name, (keys, steps) in arms.items():
            rows.append([setting.name, name, str(steps), *quality(study.runs(setting, keys, steps), reference)])
    return [*costs, *table(["setting", "horizon", "steps", *QUALITY], rows)]


def optimizer(study: Study) -> list[str]:
    """AdamW against Adam-atan2, at the rate of the setting and a third of it."""
    rows = []
    for setting in study.settings:
        for rate in (setting.rate, round(setting.rate / 3, 5)):
            reference = study.runs(setting, {"bp_steps": OFFICIAL}, rate=rate)
            atan2 = study.runs(setting, {"bp_steps": OFFICIAL, "optim": "adam_atan2"}, rate=rate)
            rows.append([setting.name, f"{rate:g}", "AdamW", *quality(reference, reference)])
            rows.append([setting.name, f"{rate:g}", "Adam-atan2", *quality(atan2, reference)])
    return table(["setting", "rate", "optimizer", *QUALITY], rows)


def ema(study: Study) -> list[str]:
    """Averaged weights against those that they average, at a constant rate; beside them a rate that falls to zero."""
    rows = []
    for setting in study.settings:
        constant = {"bp_steps": OFFICIAL, "lr_scheduler_type": "constant_with_warmup", "ema_decay": DECAYS[-1]}
        raw = study.runs(setting, constant)
        rows.append([setting.name, "constant rate, raw", *quality(raw, raw)])
        for decay in DECAYS:
            averaged = [run[str(decay)] for run in raw]
            rows.append([setting.name, f"constant rate, EMA {decay}", *quality(averaged, raw)])
        falling = study.runs(setting, {"bp_steps": OFFICIAL})
        rows.append([setting.name, "rate falls to zero, raw", *quality(falling, raw)])
    return table(["setting", "weights", *QUALITY], rows)


PROBE_EVERY = 34  # steps, when every step is logged; 40 when every tenth is
ROUNDS = 6


def health(study: Study) -> list[str]:
    """What health adds to a step of the tiny model, and the time of an update of weights and average."""
    steps = SKIPPED + ROUNDS * PROBE_EVERY + 1
    measured = study.records.measured({"time": "health", "steps": steps}, partial(time_health, study, steps))
    seconds, parts = measured["seconds"], measured["parts"]
    windows = [slice(at, at + PROBE_EVERY) for at in range(SKIPPED, steps - PROBE_EVERY, PROBE_EVERY)]
    shares = [health_shares(seconds[window], parts[window]) for window in windows]
    rows = [[name, middle([100 * share[name] for share in shares])] for name in shares[0]]
    update = study.records.measured({"time": "update"}, partial(time_update, study, 200))
    plain = statistics.median(s for s, part in zip(seconds, parts, strict=True) if not part)
    rows += [
        [f"`{name}`", f"{100 * update[name] / plain:.2f}"] for name in ("ema_decay", "adamw_torch_fused", "adam_atan2")
    ]
    return table(["CPU time", f"% of a step of {1000 * plain:.0f} ms"], rows)


def health_shares(seconds: Sequence[float], parts: Sequence[dict[str, float]]) -> dict[str, float]:
    """CPU time of health over that of a step without it, in a round with one probe."""
    pairs = list(zip(seconds, parts, strict=True))
    plain = statistics.median(own for own, spent in pairs if not spent)
    logged = [(own, spent) for own, spent in pairs if spent]
    names = [name for name in logged[0][1] if name != "probe"]
    shares = {name: statistics.median(spent[name] for _, spent in logged) / plain for name in names}
    every_step, probe = sum(shares.values()), sum(spent.get("probe", 0.0) for spent in parts) / plain
    with_it = statistics.median(own for own, spent in logged if "probe" not in spent)
    return {
        **shares,
        f"probe, one step in {PROBE_EVERY}": probe / PROBE_EVERY,
        "**all, logged every step**": every_step + probe / PROBE_EVERY,
        "**all, logged every 10 steps**": every_step / 10 + probe / 40,
        "steps with it against the steps between, without the probe": with_it / plain - 1,
    }


PARTS: dict[str, Callable[[Study], list[str]]] = {
    "health": health,
    "horizon": horizon,
    "optimizer": optimizer,
    "ema": ema,
}


def conditions(study: Study) -> str:
    """The line above the tables."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((x.split(":")[1].strip() for x in info.read_text().splitlines() if "model name" in x), cpu)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    rows = ", ".join(f"{len(setting.held_out)} held-out rows {setting.name}" for setting in study.settings)
    return (
        f"{cpu}, one thread, fp32; {packages}; {time.strftime('%d %B %Y')}; embedded base {study.settings[-1].source}; "
        f"{study.steps} steps, {study.seeds} seeds; {rows}."
    )


def main() -> None:
    """Measure what is asked for and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/stabiliser_study"))
    parser.add_argument("--only", choices=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=240)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    base, tokenizer = load_model_and_tokenizer("tiny")
    settings = [scratch(tokenizer), fine_tuning(base, tokenizer)]
    records = Records(arguments.out / "records.jsonl")
    study = Study(records, tokenizer, settings, arguments.seeds, arguments.steps)
    print(conditions(study))
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            print(*part(study), sep="\n", flush=True)


if __name__ == "__main__":
    main()
