"""Flags are read as the file is: lists, mappings, datasets and rewards."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrm_align.config.parser import resolved
from hrm_align.trainers.grpo_config import parse_grpo
from hrm_align.trainers.sft_config import parse_sft
from tests.config.conftest import BASE, Parse


def test_datasets_are_entries_or_bare_paths_in_the_file_and_as_flags(parse: Parse) -> None:
    assert parse().data.datasets == [{"path": "a.jsonl"}]
    assert parse("eval_datasets: [b.jsonl, {path: c, split: test}]").data.eval_datasets == [
        {"path": "b.jsonl"},
        {"path": "c", "split": "test"},
    ]
    flags = ("--datasets", "d.jsonl", '{"path": "e", "fraction": 0.5}')
    recipe = parse("", *flags)
    assert recipe.data.datasets == [{"path": "d.jsonl"}, {"path": "e", "fraction": 0.5}]
    assert [(spec.path, spec.fraction) for spec in recipe.data.specs()] == [("d.jsonl", 1.0), ("e", 0.5)]


# A setting, its value, and what is read: from a line of the file and from a flag.
MAPPINGS = [
    (
        "datasets",
        "{path: x.jsonl, columns: {prompt: question}}",
        [{"path": "x.jsonl", "columns": {"prompt": "question"}}],
    ),
    ("datasets", '{"path":"x.jsonl","fraction":5e-1}', [{"path": "x.jsonl", "fraction": 0.5}]),
    ("module_learning_rates", "{low: 1e-5, head: 0.5}", {"low": 1e-5, "head": 0.5}),
    ("lr_scheduler_kwargs", "{min_lr: 1e-6}", {"min_lr": 1e-6}),
    ("activation_checkpointing_kwargs", "{use_reentrant: false}", {"use_reentrant": False}),
]


@pytest.mark.parametrize(("key", "text", "value"), MAPPINGS)
def test_a_mapping_is_read_alike_in_the_file_and_as_a_flag(parse: Parse, key: str, text: str, value: object) -> None:
    base = BASE.replace("datasets: [{path: a.jsonl}]\n", "") if key == "datasets" else BASE
    base += "activation_checkpointing: true\n" * (key == "activation_checkpointing_kwargs")
    in_list = f"[{text}]" if isinstance(value, list) else text
    for recipe in (parse(f"{key}: {in_list}", base=base), parse("", f"--{key}", text, base=base)):
        assert resolved(recipe)[key] == value


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("datasets", "[b.jsonl, {path: c, split: test}]", [{"path": "b.jsonl"}, {"path": "c", "split": "test"}]),
        ("lora_target_modules", "[up_proj, 'down_proj']", ["up_proj", "down_proj"]),
        ("datasets", "[odd].jsonl", [{"path": "[odd].jsonl"}]),
    ],
)
def test_a_flag_takes_a_list_as_the_file_writes_it(parse: Parse, key: str, text: str, value: object) -> None:
    recipe = parse("", f"--{key}", text, "--use_peft")
    assert {**vars(recipe.data), **vars(recipe.lora)}[key] == value


def test_a_reward_with_options_is_read_alike_in_the_file_and_as_a_flag(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    text = f"{{file: {tmp_path}/mine.py, function: tone, weight: 5e-1}}"
    (tmp_path / "r.yaml").write_text(BASE + f"rewards: [{text}]\n", encoding="utf-8")
    entry = {"file": f"{tmp_path}/mine.py", "function": "tone", "weight": 0.5}
    assert parse_grpo(["--config", str(tmp_path / "r.yaml")]).rewards.rewards == [entry]
    assert parse_grpo(["--config", str(tmp_path / "r.yaml"), "--rewards", "exact", text]).rewards.rewards[1] == entry


def test_a_recipe_may_be_all_flags() -> None:
    recipe = parse_sft(["--model_name_or_path", "tiny", "--datasets", "a.jsonl", "--output_dir", "runs/x"])
    assert recipe.model.model_name_or_path == "tiny"
