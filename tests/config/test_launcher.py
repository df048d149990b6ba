"""One winner among a recipe and its launcher: what the launcher says is a setting of the run, and contradictions are refused."""

import pytest
import torch

from hrm_align.config import launcher
from hrm_align.config.launcher import ACCUMULATION, COMPILER, COMPILER_MODE, CPU, PRECISION
from hrm_align.config.parser import resolved
from hrm_align.errors import UserError
from hrm_align.trainers.grpo_config import parse_grpo
from hrm_align.trainers.sft_config import SFTArguments, parse_sft

GIVEN = ("--model_name_or_path", "tiny", "--datasets", "rows.jsonl", "--output_dir", "run", "--report_to", "none")
LAUNCHED = {  # what `accelerate launch` sets where nobody has chosen anything
    PRECISION: "no",
    COMPILER: "NO",
    COMPILER_MODE: "default",
    CPU: "False",
}


def settled(monkeypatch, variables: dict[str, str], *flags: str, parse=parse_sft, given=GIVEN) -> dict:
    """The settings of a recipe under a launcher, as in run/resolved.yaml."""
    for name, value in {**LAUNCHED, **variables}.items():
        monkeypatch.setenv(name, value)
    recipe = parse([*given, *flags])
    assert recipe.training.mixed_precision == launcher.precision_of(recipe.training)
    return resolved(recipe)


BF16, FP16, NONE = {"bf16": True, "fp16": False}, {"bf16": False, "fp16": True}, {"bf16": False, "fp16": False}
SETTLED = {
    "nothing is chosen": ({}, (), NONE),
    "the launcher says bf16": ({PRECISION: "bf16"}, (), BF16),
    "in capitals": ({PRECISION: "BF16"}, (), BF16),
    "an empty variable": ({PRECISION: ""}, (), NONE),
    "the recipe says bf16, the launcher its default": ({}, ("--bf16", "true"), BF16),
    "both say bf16": ({PRECISION: "bf16"}, ("--bf16", "true"), BF16),
    "the recipe says no fp16": ({PRECISION: "bf16"}, ("--fp16", "false"), BF16),
    "accumulation": ({ACCUMULATION: "4"}, (), {"gradient_accumulation_steps": 4}),
    "both accumulate": ({ACCUMULATION: "4"}, ("--gradient_accumulation_steps", "4"), {"gradient_accumulation_steps": 4}),
    "an accumulation of DeepSpeed": ({ACCUMULATION: "auto"}, (), {"gradient_accumulation_steps": 1}),
    "a compiler": (
        {COMPILER: "EAGER"},
        (),
        {"torch_compile": True, "torch_compile_backend": "eager", "torch_compile_mode": None},
    ),
    "a compiler and its mode": (
        {COMPILER: "INDUCTOR", COMPILER_MODE: "max-autotune"},
        (),
        {"torch_compile": True, "torch_compile_backend": "inductor", "torch_compile_mode": "max-autotune"},
    ),
    "the CPU": ({CPU: "yes"}, (), {"use_cpu": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTLED)
def test_what_the_launcher_says_is_in_the_record(monkeypatch, case):
    variables, flags, expected = SETTLED[case]
    settings = settled(monkeypatch, variables, *flags)
    assert {key: settings[key] for key in expected} == expected


REFUSED = {
    "bf16 false": ({PRECISION: "bf16"}, ("--bf16", "false"), "command line: bf16 is false, but the launcher sets .* to bf16"),
    "fp16 against bf16": ({PRECISION: "bf16"}, ("--fp16", "true"), "fp16 is true, but the launcher .* to bf16"),
    "bf16 against fp16": ({PRECISION: "fp16"}, ("--bf16", "true"), "bf16 is true, but the launcher .* to fp16"),
    "float32 against fp16": ({PRECISION: "fp16"}, ("--bf16", "false"), "bf16 is false, but the launcher .* to fp16"),
    "fp16 false": ({PRECISION: "fp16"}, ("--fp16", "false"), "fp16 is false, but the launcher .* to fp16"),
    "another accumulation": (
        {ACCUMULATION: "4"},
        ("--gradient_accumulation_steps", "2"),
        "gradient_accumulation_steps is 2, but the launcher sets ACCELERATE_GRADIENT_ACCUMULATION_STEPS to 4",
    ),
    "no accumulation": (
        {ACCUMULATION: "4"},
        ("--gradient_accumulation_steps", "1"),
        "gradient_accumulation_steps is 1, but the launcher",
    ),
    "no compiler": ({COMPILER: "INDUCTOR"}, ("--torch_compile", "false"), "torch_compile is false, but the launcher"),
    "another compiler": (
        {COMPILER: "INDUCTOR"},
        ("--torch_compile_backend", "eager"),
        "torch_compile_backend is eager, but the launcher",
    ),
    "not the CPU": ({CPU: "true"}, ("--use_cpu", "false"), "use_cpu is false, but the launcher sets ACCELERATE_USE_CPU to true"),
    "compiled blocks under a compiler": (
        {COMPILER: "INDUCTOR"},
        ("--compile_blocks", "true"),
        "torch_compile cannot be combined with compile_blocks",
    ),
    "fp8": ({PRECISION: "fp8"}, (), "ACCELERATE_MIXED_PRECISION is fp8, which is not supported"),
    "an unknown precision": ({PRECISION: "half"}, (), "invalid value for ACCELERATE_MIXED_PRECISION: half. Use bf16"),
    "an unknown compiler": ({COMPILER: "GCC"}, (), "invalid value for ACCELERATE_DYNAMO_BACKEND: gcc. Use inductor"),
    "an accumulation of 0": ({ACCUMULATION: "0"}, (), "invalid value for ACCELERATE_GRADIENT_ACCUMULATION_STEPS: 0"),
    "a CPU of maybe": ({CPU: "maybe"}, (), "invalid value for ACCELERATE_USE_CPU: maybe. Use true or false"),
    "fp16 on a CPU": ({}, ("--fp16", "true"), "command line: fp16 is true, but on a CPU accelerate would train in float32"),
    "a launcher's fp16 on a CPU": ({PRECISION: "fp16"}, (), "fp16 is set by ACCELERATE_MIXED_PRECISION, but on a CPU"),
    "TF32 on a CPU": ({}, ("--tf32", "true"), "command line: tf32: this machine has no TF32"),
    "accumulation in accelerator_config": (
        {},
        ("--accelerator_config", "{gradient_accumulation_kwargs: {num_steps: 4}}"),
        "accelerator_config: num_steps would replace gradient_accumulation_steps",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_contradiction_is_one_sentence(monkeypatch, case):
    if case.endswith("on a CPU") and torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    variables, flags, words = REFUSED[case]
    with pytest.raises(UserError, match=words):
        settled(monkeypatch, variables, *flags)


def test_a_contradiction_names_the_line_of_the_recipe(monkeypatch, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model_name_or_path: tiny\nbf16: false\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"{recipe}:2: bf16 is false, but the launcher"):
        settled(monkeypatch, {PRECISION: "bf16"}, "--config", str(recipe))


def test_the_record_of_a_launched_run_reads_back_under_the_same_launcher_and_without_one(monkeypatch, tmp_path):
    import yaml

    more = ("--rewards", "exact", "--num_generations", "4", "--per_device_train_batch_size", "8")
    variables = {PRECISION: "bf16", ACCUMULATION: "2"}
    first = settled(monkeypatch, variables, *more, parse=parse_grpo)
    assert (first["bf16"], first["steps_per_generation"], first["generation_batch_size"]) == (True, 2, 16)
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(first))
    again = ("--config", str(tmp_path / "again.yaml"))
    assert settled(monkeypatch, variables, parse=parse_grpo, given=again) == first
    monkeypatch.delenv(ACCUMULATION)
    assert settled(monkeypatch, {}, parse=parse_grpo, given=again) == first
    with pytest.raises(UserError, match=r"generation_batch_size is 16, but .* is 32: leave one of the two out"):
        settled(monkeypatch, {}, "--per_device_train_batch_size", "16", parse=parse_grpo, given=again)


def test_settings_of_a_program_are_not_changed_by_the_launcher(monkeypatch):
    """Transformers computes in the launcher's bf16 where its own bf16 is False."""
    monkeypatch.setenv(PRECISION, "bf16")
    assert SFTArguments(output_dir="run", bf16=False).mixed_precision == "no"
    assert SFTArguments(output_dir="run").mixed_precision == "bf16"


@pytest.mark.parametrize(
    ("variables", "flags", "words"),
    [
        ({}, ("--bf16", "true"), "command line: bf16: this GPU has no bf16: use fp16"),
        ({PRECISION: "bf16"}, (), "ACCELERATE_MIXED_PRECISION is bf16, which this GPU does not have"),
    ],
    ids=["recipe", "launcher"],
)
def test_bf16_on_an_old_gpu_is_refused(monkeypatch, variables, flags, words):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(launcher, "is_torch_bf16_gpu_available", lambda: False)
    with pytest.raises(UserError, match=words):
        settled(monkeypatch, variables, *flags)
