"""Compare the memory that `hrm-align estimate` predicts with the memory that training uses, on the CPU.

    python scripts/estimate_accuracy.py                      # the held-out runs, a few minutes each on one core
    python scripts/estimate_accuracy.py --only calibration   # the runs that set the constants of hrm_align/estimates
    python scripts/estimate_accuracy.py --only sgd adapter-float32 --steps 4

Each run has its own process. The measured value is the peak resident memory of the process minus its resident memory after the
imports. Models have random weights; rows are documents of 60 to 180 words, two thirds of which are answers. Runs with an optimizer
of bitsandbytes are skipped if bitsandbytes is not installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.tables import table

ROOT = Path(__file__).parents[1]
WORDS = "add two and three then tell me of the river stone light some more words of it again".split()  # noqa: SIM905
PACKED = ("--packing", "true", "--max_length")
ADAPTER = ("--use_peft", "true")
GRPO = ("--rewards", "exact", "--num_generations", "4", "--per_device_train_batch_size", "16", "--preflight_samples", "0",
        "--reward_workers", "1", "--temperature", "2", "--prompt_tokens", "171")  # fmt: skip
OF_ESTIMATE = "--prompt_tokens"  # an option of `estimate` only; removed from the training command
MIB = 2**20


@dataclass(frozen=True)
class Run:
    """A training run to estimate and measure.

    Args:
        name: name of the run.
        shape: hidden size, layers a stack, vocabulary size.
        flags: command-line arguments of the recipe.
        dtype: dtype of the checkpoint.
        is_held_out: False if the run was used to set the constants of the estimate.
    """

    name: str
    shape: tuple[int, int, int]
    flags: tuple[str, ...]
    dtype: str = "float32"
    is_held_out: bool = True

    @property
    def recipe(self) -> str:
        """Name of the recipe module that trains the run."""
        return "recipes.grpo" if "--rewards" in self.flags else "recipes.sft"


def _calibration(name: str, shape: tuple[int, int, int], *flags: str, dtype: str = "float32") -> Run:
    return Run(name, shape, flags, dtype, is_held_out=False)


ROWS = "--per_device_train_batch_size"
RUNS = (
    _calibration("full", (384, 1, 512), *PACKED, "512", ROWS, "2"),
    _calibration("full, sdpa", (384, 1, 512), *PACKED, "512", ROWS, "2", "--attn_implementation", "sdpa"),
    _calibration("full, deeper", (384, 4, 8192), *PACKED, "512", ROWS, "2"),
    _calibration("full, deeper, sgd", (384, 4, 8192), *PACKED, "512", ROWS, "2", "--optim", "sgd"),
    _calibration("full, wide head", (512, 4, 32768), *PACKED, "512", ROWS, "1"),
    _calibration("full, bf16", (768, 2, 4096), *PACKED, "512", ROWS, "1", "--bf16", "true"),
    _calibration("recomputed", (384, 4, 8192), *PACKED, "512", ROWS, "1", "--activation_checkpointing", "true"),
    _calibration("adapter", (384, 1, 512), *PACKED, "512", ROWS, "2", *ADAPTER),
    _calibration("adapter, deeper", (384, 4, 8192), *PACKED, "512", ROWS, "1", *ADAPTER),
    _calibration("adapter, bf16 base", (512, 8, 512), *PACKED, "512", ROWS, "1", *ADAPTER, "--dtype", "bfloat16",
                 dtype="bfloat16"),
    _calibration("adapter, bf16, wide", (768, 12, 512), *PACKED, "512", ROWS, "1", *ADAPTER, "--dtype", "bfloat16",
                 dtype="bfloat16"),
    _calibration("grpo", (384, 1, 512), *GRPO, "--max_completion_length", "64"),
    _calibration("grpo, adapter", (384, 4, 8192), *GRPO, "--max_completion_length", "64", *ADAPTER),
    Run("adamw", (448, 3, 6000), (*PACKED, "576", ROWS, "2")),
    Run("sgd", (576, 2, 4096), (*PACKED, "544", ROWS, "2", "--optim", "sgd")),
    Run("adamw_8bit", (512, 4, 16384), (*PACKED, "512", ROWS, "1", "--optim", "adamw_8bit")),
    Run("adapter-float32", (512, 3, 2048), (*PACKED, "640", ROWS, "1", *ADAPTER)),
    Run("adapter-bfloat16", (640, 6, 1024), (*PACKED, "768", ROWS, "1", *ADAPTER, "--dtype", "bfloat16"), "bfloat16"),
    Run("grpo-adapter", (320, 3, 1024), (*GRPO, "--max_completion_length", "48", *ADAPTER)),
    # Runs of several gigabytes, as real trainings. The list was fixed before the runs, and each was run once.
    Run("larger-adamw", (896, 5, 12000), (*PACKED, "640", ROWS, "1")),
    Run("larger-sgd", (1024, 4, 16384), (*PACKED, "512", ROWS, "2", "--optim", "sgd")),
    Run("larger-adamw_8bit", (768, 6, 32768), (*PACKED, "512", ROWS, "1", "--optim", "adamw_8bit")),
    Run("larger-adapter-float32", (1024, 4, 8192), (*PACKED, "768", ROWS, "1", *ADAPTER)),
    Run("larger-adapter-bfloat16", (1536, 6, 65536), (*PACKED, "512", ROWS, "1", *ADAPTER, "--dtype", "bfloat16"), "bfloat16"),
)  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Measure the requested runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["held-out"], help="held-out, calibration, or names of runs")
    parser.add_argument(
        "--steps", type=int, default=3, help="steps of each run; the heap has its full size after two or three"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/estimate_accuracy.json"), help="file of the figures")
    parser.add_argument("--train", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.train:
        print(json.dumps(train(*options.train)))
        return
    results = []
    for run in RUNS:
        if not {run.name, "held-out" if run.is_held_out else "calibration"} & {*options.only}:
            continue
        if "adamw_8bit" in run.flags and importlib.util.find_spec("bitsandbytes") is None:
            print(f"{run.name}: skipped, bitsandbytes is not installed", file=sys.stderr)
            continue
        results.append(measure(run, options.steps))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    head = ["run", "hidden, layers, vocabulary", "estimated MiB", "measured MiB", "estimated / measured"]
    rows = [
        [one["run"], one["shape"], f"{one['estimate']:.0f}", f"{one['taken']:.0f}", f"{one['ratio']:.2f}"]
        for one in results
    ]
    print(*table(head, rows), sep="\n")


def measure(run: Run, steps: int) -> dict[str, Any]:
    """Estimate a run and train it. Returns the estimated and measured MiB and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model", run)
        data = write_rows(folder / "rows.jsonl", "--rewards" in run.flags)
        flags = ["--model_name_or_path", str(folder / "model"), "--datasets", str(data), "--output_dir",
                 str(folder / "run"), *run.flags]  # fmt: skip
        estimated = _run_for_json(["-m", "hrm_align.cli", "estimate", "--json", *flags])["total"] / MIB
        if OF_ESTIMATE in flags:
            place = flags.index(OF_ESTIMATE)
            flags = flags[:place] + flags[place + 2 :]
        more = ["--max_steps", str(steps), "--save_strategy", "no", "--disable_tqdm", "true"]
        taken = _run_for_json([__file__, "--train", run.recipe, *flags, *more])
    return {
        "run": run.name,
        "shape": ", ".join(map(str, run.shape)),
        "estimate": estimated,
        "imports": taken["imports"],
        "taken": taken["taken"],
        "ratio": estimated / taken["taken"],
    }


def train(recipe: str, *words: str) -> dict[str, float]:
    """Train in this process, which must be fresh. Returns MiB after the imports, and the peak above that."""
    module = importlib.import_module(recipe)
    imports = _read_status_mib("VmRSS")
    sys.stdout, output = sys.stderr, sys.stdout
    module.main(words)
    sys.stdout = output
    return {"imports": imports, "taken": _read_status_mib("VmHWM") - imports}


def _read_status_mib(name: str) -> float:
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024


def _run_for_json(words: list[str]) -> dict[str, Any]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report


def make_model(folder: Path, run: Run) -> None:
    """Save a random checkpoint with the tiny base's tokenizer."""
    import torch
    from transformers import HrmTextConfig, HrmTextForCausalLM

    from hrm_align.models.loading import DTYPES, load_tokenizer

    hidden, layers, vocab = run.shape
    config = HrmTextConfig(
        hidden_size=hidden,
        num_layers_per_stack=layers,
        num_hidden_layers=8 * layers,
        intermediate_size=hidden * 8 // 3 // 64 * 64,
        num_attention_heads=hidden // 64,
        head_dim=64,
        vocab_size=vocab,
        max_position_embeddings=4096,
        L_bp_cycles=[0, 3],
        initializer_range=hidden**-0.5,
        embedding_scale=hidden**0.5,
        pad_token_id=5,
    )
    torch.manual_seed(0)
    model: Any = HrmTextForCausalLM(config)
    model.model.z_L_init.data.normal_()
    model.to(DTYPES[run.dtype]).save_pretrained(folder)
    load_tokenizer("tiny").save_pretrained(folder)


def write_rows(path: Path, are_prompts: bool) -> Path:
    """Write documents, or prompts of one length for rollouts. Returns the path."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(200):
            prompt = " ".join(draw.choices(WORDS, k=draw.randint(20, 60)))
            answer = " ".join(draw.choices(WORDS, k=draw.randint(40, 120)))
            if are_prompts:
                prompt, answer = f"{' '.join(WORDS * 3)} {number + 100} plus 7?", "1"
            file.write(json.dumps({"prompt": prompt, "response": answer}) + "\n")
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
