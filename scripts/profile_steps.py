"""Profile a fine-tuning step and a rollout: a table and a picture of the time of each kind of operation.

python scripts/profile_steps.py                # a minute on two CPU cores; add --shape 1b on a GPU
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from bench.command import machine
from bench.shapes import PAD, SHAPES, documents, random_model
from bench_rollout import GROUP, SIZES, end_by_chance, make_prompts, rolling_model
from study.tables import table
from torch.profiler import ProfilerActivity, profile
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.utils import add_fused_lm_head

from hrm_align.cli import run_with_exit_code
from hrm_align.data.packing import PackedCollator, pack
from hrm_align.models.lm_head import score_responses_only
from hrm_align.models.recurrence import Horizon
from hrm_align.rollouts.local import Decoding, sample

# An operation counts under the first kind that has a word of the operation's name.
KINDS = {
    "attention": ("scaled_dot_product", "bmm", "softmax", "masked_fill", "fmha", "flash", "attention"),
    "linear layers": ("aten::mm", "addmm", "gemm", "nvjet", "cutlass"),
    "optimizer": ("_fused_adam", "_foreach", "multi_tensor", "fusedadam"),
    "copies and gathers": (
        *("copy", "cat", "index", "gather", "scatter", "clone", "fill", "zero", "slice_backward", "memcpy", "memset"),
    ),
    "elementwise": (
        "mul",
        "add",
        "sub",
        "div",
        "silu",
        "sigmoid",
        "pow",
        "mean",
        "rsqrt",
        "neg",
        "exp",
        "sum",
        "where",
        "elementwise",
        "reduce",
        "triton",
    ),
}
PROFILED_TOKENS = 32  # of a rollout on a GPU, where each token runs thousands of kernels and all are recorded
REST = "the rest"
PYTHON = "outside of operations"
COLOURS = {"linear layers": "#2a6f97", "attention": "#e07a5f", "elementwise": "#81b29a"}


def classify(operation: str) -> str:
    """Return the kind under which an operation is counted."""
    name = operation.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), REST)


def measured(work: Callable[[], None]) -> tuple[dict[str, float], float]:
    """Measure the seconds of each kind of operation and of the whole, after a first run that allocates memory.

    On a GPU the seconds are those of kernels; `outside of operations` is the time in which the GPU waits for the next kernel.

    Returns:
        The seconds of each kind, and the seconds of the whole without the profiler.
    """
    on_gpu = torch.cuda.is_available()
    finished: Callable[[], object] = torch.cuda.synchronize if on_gpu else lambda: None
    work()
    finished()
    start = time.perf_counter()
    work()
    finished()
    whole = time.perf_counter() - start
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        work()
        finished()
    return by_kind(profiler.key_averages(), whole), whole


def by_kind(averages: Iterable[Any], whole: float) -> dict[str, float]:
    """Return the seconds of each kind of operation, and the rest of `whole`, the seconds of the whole."""
    on_gpu = torch.cuda.is_available()
    seconds: dict[str, float] = defaultdict(float)
    for event in averages:
        spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[classify(event.key)] += spent / 1e6
    seconds[PYTHON] = max(0.0, whole - sum(seconds.values()))
    return dict(seconds)


class Profile(TrainerCallback):
    """Callback that profiles the optimizer step after the first `warmup` steps, and then stops the trainer."""

    def __init__(self, warmup: int):
        self._warmup = warmup
        self.profiler = torch.profiler.profile()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start before the forward."""
        if state.global_step == self._warmup:
            self.profiler.start()
            self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop after the update of the weights."""
        if state.global_step == self._warmup + 1:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.whole = time.perf_counter() - self._start
            self.profiler.stop()
            control.should_training_stop = True


def profiled_training(trainer: Any) -> dict[str, Any]:
    """Profile a training step; its slowest operations are printed on standard error."""
    callback = Profile(2)
    trainer.pop_callback(PrinterCallback)
    trainer.add_callback(callback)
    trainer.train()
    averages = callback.profiler.key_averages()
    by = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    print(averages.table(sort_by=by, row_limit=45, max_name_column_width=90), file=sys.stderr)
    return {"step_seconds": callback.whole, "parts": by_kind(averages, callback.whole)}


def sft_step(shape: str) -> Callable[[], None]:
    """Return a function that runs forward, backward and update on four packed rows, with the recipes' settings."""
    model = random_model(shape)
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    score_responses_only(model)
    model.set_attn_implementation("sdpa" if torch.cuda.is_available() else "per_document")
    Horizon(model, 5)
    rows = pack(documents(80, 1024), 1024)
    collated = PackedCollator(PAD)([rows[i] for i in range(4)])  # tensors of shape (4, 1024)
    batch = {name: tensor.to(model.device) for name, tensor in collated.items()}
    device = model.device.type
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            output = model(**batch, fused_lm_head=True)
        (-output.log_probs.sum() / output.label_mask.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def rollout(shape: str) -> Callable[[], None]:
    """Return a function that samples groups of completions, which end at random."""
    model, longest = rolling_model(shape, True), SIZES[shape][2]
    end_by_chance(model, longest)
    rows = [prompt for prompt in make_prompts(shape, 0) for _ in range(GROUP)]
    decoding = Decoding(min(longest, PROFILED_TOKENS) if torch.cuda.is_available() else longest)

    def roll() -> None:
        sample(model, rows, range(len(rows)), decoding)

    return roll


def draw(parts: dict[str, dict[str, float]], path: Path) -> None:
    """Save a picture with one bar for each profiled function, divided by kind of operation."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 2.6), layout="constrained")
    greys = iter(("#8d99ae", "#adb5bd", "#ced4da", "#e9ecef"))
    colours = {kind: COLOURS.get(kind) or next(greys) for kind in (*KINDS, REST, PYTHON)}
    for row, seconds in enumerate(parts.values()):
        left, whole = 0.0, sum(seconds.values())
        for kind, colour in colours.items():
            width = 100 * seconds.get(kind, 0.0) / whole
            axis.barh(row, width, left=left, color=colour, label=kind if row == 0 else None, height=0.6)
            left += width
    axis.set(yticks=range(len(parts)), yticklabels=list(parts), xlabel="% of the time", xlim=(0, 100))
    axis.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv: Sequence[str]) -> None:
    """Profile the step and the rollout, print the table and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="small", help="shape of the random model")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("runs/profile.png"), help="file of the picture")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    parts, rows = {}, []
    for name, make in (("SFT step", sft_step), ("rollout", rollout)):
        seconds, whole = measured(make(arguments.shape))
        parts[name] = seconds
        cells = [f"{100 * seconds.get(kind, 0) / whole:.0f}" for kind in (*KINDS, REST, PYTHON)]
        rows.append([name, f"{whole:.2f}", *cells])
    print(f"{machine(arguments.threads)}; shape {arguments.shape}. Each cell is a percentage of the time.")
    print(*table(["", "seconds", *KINDS, REST, PYTHON], rows), sep="\n")
    draw(parts, arguments.out)


if __name__ == "__main__":
    sys.exit(run_with_exit_code(main, sys.argv[1:]))
