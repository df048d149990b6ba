"""Record and compare the seeded losses of four runs of 20 steps on the tiny base, to detect changes by a refactoring.

    OMP_NUM_THREADS=1 python -m tests.golden.losses --save     # before a change: the bits, into runs/golden/losses.json (ignored)
    OMP_NUM_THREADS=1 python -m tests.golden.losses --compare  # after it, on the same machine: equal to the bit, or exit code 1
    OMP_NUM_THREADS=1 python -m tests.golden.losses --commit   # rewrites the committed values, which any machine compares at a tolerance

A step is its loss, its gradient norm, and a digest of the integer tensors (token ids, labels, masks, token types) that reached
`compute_loss`, in their order. Bits hold for one processor, instruction set and number of threads, which are saved with them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import transformers

from recipes.grpo import main as grpo
from recipes.sft import main as sft
from tests.trainers.grpo_runs import prompts

ROOT = Path(__file__).parents[2]
COMMITTED = Path(__file__).with_suffix(".json")
SAVED = ROOT / "runs" / "golden" / "losses.json"
STEPS = 20
ROWS = str(ROOT / "data" / "json_extraction" / "train.jsonl")

COMMON = ("--model_name_or_path", "tiny", "--logging_steps", "1", "--save_strategy", "no",
          "--disable_tqdm", "true", "--learning_rate", "1e-3", "--use_cpu", "true")  # fmt: skip
SFT = ("--datasets", ROWS, "--max_length", "128")
RUNS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "sft, padded": (sft, (*SFT, "--per_device_train_batch_size", "8")),
    "sft, packed": (sft, (*SFT, "--per_device_train_batch_size", "2", "--packing", "true")),
    "lora": (sft, (*SFT, "--per_device_train_batch_size", "8", "--use_peft", "true", "--lora_r", "8")),
    # two updates a rollout, so that the second sees a ratio other than 1
    "grpo": (grpo, ("--rewards", "exact", "--num_generations", "4", "--per_device_train_batch_size", "16",
                    "--max_completion_length", "8", "--temperature", "1.5", "--num_iterations", "2", "--beta", "0.05",
                    "--preflight_samples", "0", "--reward_workers", "1")),
}  # fmt: skip


def digest(inputs: dict[str, Any]) -> str:
    """Return a digest of all integer and boolean tensors, by name."""
    sha = hashlib.sha256()
    for name, value in sorted(inputs.items()):
        if isinstance(value, torch.Tensor) and not value.is_floating_point():
            sha.update(f"{name} {tuple(value.shape)} ".encode() + value.long().numpy().tobytes())
    return sha.hexdigest()[:16]


@contextmanager
def watched(trainer: type, digests: list[str], steps: int) -> Iterator[None]:
    """Append a digest of the inputs of each training call of `compute_loss`, within the context.

    The run ends after `steps`, or with the rollout to which the last of them belongs.
    """
    compute_loss = trainer.compute_loss

    def watch(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if model.training:
            digests.append(digest(inputs))
            self.control.should_training_stop |= len(digests) >= steps
        return compute_loss(self, model, inputs, *args, **kwargs)

    with patch.object(trainer, "compute_loss", watch):
        yield


def run(name: str, folder: Path, *flags: str, steps: int = STEPS) -> list[dict[str, Any]]:
    """Run one of RUNS.

    Args:
        name: key of RUNS.
        folder: folder for the run's output_dir.
        flags: appended to the run's own arguments.
        steps: the run ends after as many. The schedule of the learning rate is that of STEPS.

    Returns:
        A dictionary for each step: `loss` and `grad_norm` as logged, and `batch`, a digest.
    """
    from hrm_align.trainers.grpo import GRPOTrainer
    from hrm_align.trainers.sft import SFTTrainer

    main, own = RUNS[name]
    output_dir, digests = folder / name.replace(", ", "-"), []
    with watched(GRPOTrainer if main is grpo else SFTTrainer, digests, steps):
        datasets = ["--datasets", str(prompts(folder))] if main is grpo else []
        main([*COMMON, *own, *datasets, "--output_dir", str(output_dir), "--max_steps", str(STEPS), *flags])
    logged = [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]
    taken = [line for line in logged if "loss" in line and "grad_norm" in line]
    assert steps <= len(taken) == len(digests) <= steps + 1  # one more to the end of a rollout
    return [
        {"loss": step["loss"], "grad_norm": step["grad_norm"], "batch": batch}
        for step, batch in zip(taken[:steps], digests[:steps], strict=True)
    ]


def processor() -> str:
    """Return the name of the processor, if the system has it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def machine() -> dict[str, Any]:
    """Return the properties of the machine on which the bits of a result depend."""
    return {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main(argv: list[str]) -> int:
    """Record or compare: see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.losses", description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--save", action="store_true")
    action.add_argument("--compare", action="store_true")
    action.add_argument("--commit", action="store_true")
    parser.add_argument("--file", type=Path, default=SAVED, help=f"in place of {SAVED.relative_to(ROOT)}")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        losses = {name: run(name, Path(folder)) for name in RUNS}
    if arguments.compare:
        saved = json.loads(arguments.file.read_text())
        if saved["machine"] != machine():
            print(
                f"error: {arguments.file} was saved with {saved['machine']}, but this is {machine()}. Save and compare on "
                "the same machine.",
                file=sys.stderr,
            )
            return 2
        changed = [name for name in RUNS if losses[name] != saved["losses"][name]]
        print(f"changed: {', '.join(changed)}" if changed else f"{len(RUNS)} runs equal to the bit")
        return 1 if changed else 0
    file = COMMITTED if arguments.commit else arguments.file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine(), "losses": losses}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", WANDB_MODE="disabled", TOKENIZERS_PARALLELISM="false")
    sys.exit(main(sys.argv[1:]))
