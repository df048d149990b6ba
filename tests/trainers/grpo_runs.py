"""Run the GRPO recipe as a user does: small rollouts on the tiny base, and a reward that needs no gold answer."""

from pathlib import Path

from recipes.grpo import main
from tests.trainers.recipe_runs import last_of_each, write_rows

# Two of three words of these prompts are no real words: what counts is that the answers differ.
ROWS = [
    {"prompt": f"{a} plus {b}?", "response": str(a + b), "group": "sums"} for a in range(11, 17) for b in (5, 8, 23)
]

SMALL = ("--rewards", "exact", "--num_generations", "4", "--per_device_train_batch_size", "16",
         "--max_completion_length", "8", "--temperature", "1.5", "--learning_rate", "1e-3", "--save_strategy", "no",
         "--disable_tqdm", "true", "--preflight_samples", "0", "--reward_workers", "1")  # fmt: skip


def prompts(folder: Path) -> Path:
    """A file of sums, of which the tiny base solves some and not others at this temperature."""
    return write_rows(folder / "prompts.jsonl", ROWS)


def grpo(output_dir: Path, data: Path, *flags: str) -> None:
    """Run the recipe in this process; a flag given twice counts as the last one says."""
    given = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(output_dir)]
    main(last_of_each([*given, *SMALL, *flags]))
