"""Run the SFT recipe as a user does, and read back what it left."""

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file

from recipes.sft import main
from tests.launching import launch

ROOT = Path(__file__).parents[2]


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def arguments(output_dir: Path, data: Path, *flags: str) -> list[str]:
    """A run of the tiny base on these rows; a flag given twice counts as the last one says."""
    given = ["--model_name_or_path", "tiny", "--datasets", str(data), "--output_dir", str(output_dir)]
    return last_of_each([*given, "--disable_tqdm", "true", *flags])


def last_of_each(words: Sequence[str]) -> list[str]:
    """Flags with their values, without those that a later flag of the same name replaces."""
    given: dict[str, list[str]] = {}
    for word in map(str, words):
        if word.startswith("--"):
            name = word.partition("=")[0]
            given.pop(name, None)
            given[name] = [word]
        else:
            given[name].append(word)
    return [word for part in given.values() for word in part]


def sft(output_dir: Path, data: Path, *flags: str) -> None:
    """Run the recipe in this process, which saves the seconds of importing it."""
    main(arguments(output_dir, data, *flags))


def launched_sft(output_dir: Path, data: Path, *flags: str, config: str, script: Path | str = "recipes/sft.py") -> str:
    """Run the recipe, or a script that runs it, on the processes of a file of recipes/accelerate; return their output."""
    return launch(ROOT / f"recipes/accelerate/{config}.yaml", script, arguments(output_dir, data, *flags))


def weights(output_dir: Path) -> dict:
    return load_file(output_dir / "model.safetensors")


def metrics(output_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]


def distance(a: dict, b: dict, start: dict) -> float:
    """Largest difference of two trained models over all tensors, relative to how far training moved that tensor."""
    assert a.keys() == b.keys() == start.keys()
    moved = {name: (a[name] - start[name]).abs().max().item() for name in a}
    assert sum(value > 0 for value in moved.values()) >= len(moved) - 1, "training moved nothing (only z_L_init rests)"
    worst = max((a[name] - b[name]).abs().max().item() / moved[name] for name in a if moved[name] > 0)
    print(f"largest relative difference {worst:.1e}")
    return worst
