"""A recipe is read strictly: what is wrong is named with its place and the remedy, what is right is typed and kept."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from hrm_align.commands.estimate import parse_either
from hrm_align.config.parser import resolved
from hrm_align.errors import UserError
from hrm_align.trainers.grpo_config import parse_grpo
from hrm_align.trainers.sft_config import parse_sft
from tests.config.conftest import BASE, Parse

SECRET = "hf_abcdefghijklmnop"


def refusal(parse: Parse, lines: str = "", *flags: str, base: str = BASE) -> str:
    with pytest.raises(UserError) as caught:
        parse(lines, *flags, base=base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_the_official_sft(parse: Parse) -> None:
    training = parse().training
    assert (training.learning_rate, training.lr_scheduler_type) == (3e-5, "cosine_with_min_lr")
    assert training.lr_scheduler_kwargs == {"min_lr_rate": 0.1}
    assert (training.warmup_steps, training.weight_decay, training.adam_beta1, training.adam_beta2) == (
        0,
        0.1,
        0.9,
        0.95,
    )


def test_checkpointing_is_off_although_trl_turns_it_on_through_the_old_name(parse: Parse) -> None:
    training = parse().training
    assert training.activation_checkpointing is False and training.gradient_checkpointing is False
    training = parse("activation_checkpointing: true").training
    assert training.activation_checkpointing is True and training.gradient_checkpointing is True


def test_another_schedule_does_not_inherit_the_floor_of_the_default_one(parse: Parse) -> None:
    assert parse("lr_scheduler_type: linear").training.lr_scheduler_kwargs is None


def test_bf16_is_off_on_a_cpu_unless_asked_for(parse: Parse) -> None:
    assert parse("use_cpu: true").training.bf16 is False
    assert parse("use_cpu: true\nbf16: true").training.bf16 is True


@pytest.mark.parametrize("rate", ["3e-5", "3.0e-05", "0.00003", "'3e-5'"])
def test_every_spelling_of_a_number_is_that_number(parse: Parse, rate: str) -> None:
    assert parse(f"learning_rate: {rate}").training.learning_rate == 3e-5
    assert parse(f"lr_scheduler_kwargs: {{min_lr: {rate.strip(chr(39))}}}").training.lr_scheduler_kwargs == {
        "min_lr": 3e-5
    }


def test_words_that_old_yaml_turns_into_something_else_stay_words(parse: Parse) -> None:
    recipe = parse("eval_strategy: no\nrun_name: 2024-01-01\nmodel_revision: 0012e5\nhub_model_id: 1:30\npacking: no")
    assert recipe.training.eval_strategy == "no"
    assert recipe.training.run_name == "2024-01-01"
    assert recipe.model.model_revision == "0012e5"
    assert recipe.training.hub_model_id == "1:30"
    assert recipe.training.packing is False
    entries = parse("eval_datasets: [{path: no, revision: 2024-01-01, name: 1:30}]").data.eval_datasets
    assert entries == [{"path": "no", "revision": "2024-01-01", "name": "1:30"}]


def test_a_flag_overrides_the_file(parse: Parse) -> None:
    recipe = parse(
        "learning_rate: 1e-3\nmax_steps: 7\npacking: false", "--learning-rate=2e-3", "--max_steps", "-1", "--packing"
    )
    assert recipe.training.learning_rate == 2e-3
    assert recipe.training.max_steps == -1
    assert recipe.training.packing is True


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lerning_rate: 1e-3", "unknown setting lerning_rate: did you mean learning_rate?"),
        ("learning-rate: 1e-3", "did you mean learning_rate?"),
        ("qqqqqq: 1", "use a name that --help-all lists"),
        ("max_seq_length: 512", "max_length"),
        ("tokenizer: x", "tokenizer_name_or_path"),
        ("warmup_ratio: 0.1", "warmup_steps"),
        ("overwrite_output_dir: true", "Transformers removed the setting"),
        ("dataset_name: x", "datasets:"),
        ("group_by_length: true", "train_sampling_strategy"),
        ("evaluation_strategy: epoch", "eval_strategy"),
        ("lora_r: 16", "lora_r has no effect without an adapter. Set use_peft: true"),
        ("load_in_4bit: true", "Set use_peft: true"),
        ("use_peft: true\nlora_r: 0", "lora_r: 0. The value must be 1 or more"),
        ("use_peft: true\nlora_alpha: 0", "lora_alpha: 0.0. The value must be a finite number above 0"),
        ("use_peft: true\nlora_dropout: 1", "lora_dropout: 1.0. The value must be 0 or more, and below 1"),
        ("use_peft: true\nlora_scaling: per_use", "lora_scaling: invalid choice"),
        ("use_peft: true\nlora_target_modules: []", "lora_target_modules is empty"),
        ("lora_modules_to_save: [lm_head]", "name `head` in lora_target_modules"),
        ("replay_fraction: 0.1", "set replay_datasets and replay_fraction, or neither"),
        ("guard_margin: 2", "guard_margin: 2.0. The value must be between 0 and 1"),
        (
            "generation_eval_match: sqlite",
            "generation_eval_match is 'sqlite', which is not a grader: did you mean 'sql'?",
        ),
        (
            "generation_eval_match: format",
            "which checks the form of an answer and not whether",
        ),
        (
            "guard_match: jsn",
            "guard_match is 'jsn', which is not a grader: did you mean 'json'? use one of math, exact",
        ),
        (
            "generation_eval_match: sql\nmetric_for_best_model: eval_exact_match",
            "metric_for_best_model is 'eval_exact_match', but generation_eval_match sql logs sql_match",
        ),
        ("gradient_checkpointing: true", "activation_checkpointing"),
        ("formatting_func: f", "columns"),
        ("learning_rate: fast", "learning_rate: invalid float value: 'fast'"),
        ("max_length: 12.5", "max_length: invalid int value: '12.5'"),
        ("packing: maybe", "packing: invalid true or false value: 'maybe'. Use true or false."),
        ("learning_rate: [1, 2]", "learning_rate: a list. Use a number."),
        ("lr_scheduler_kwargs: 3", "lr_scheduler_kwargs is '3', which is not a mapping"),
        ("learning_rate:", "learning_rate: empty. Use a number."),
        ("save_strategy: often", "invalid choice: 'often' (choose from"),
        ("eval_datasets: [3]", "eval_datasets[0]: 3"),
        ("eval_datasets: [{path: a, splt: b}]", "did you mean `split`?"),
        ("assistant_only_loss: true", "the loss is always on the response"),
        ("completion_only_loss: false", "the loss is always on the response"),
        ("padding_free: true", "packing: true"),
        ("packing_strategy: wrapped", "never truncated"),
        ("use_liger_kernel: true", "Liger"),
        ("truncation_mode: keep_start", "dropped and counted"),
        ("chat_template_path: x", "pretraining"),
        ("activation_checkpointing: true\nactivation_checkpointing_kwargs: {use_reentrant: true}", "wrong gradients"),
        ("attn_implementation: flash_attention_2", "no prefix mask"),
        ("attn_implementation: fast", "Use per_document, sdpa"),
        ("average_tokens_across_devices: false", "spread over processes"),
        ("trust_remote_code: true", "never executed"),
        ("dataset_text_field: text", "columns"),
        ("model_init_kwargs: {dtype: float16}", "set dtype"),
        ("learning_rate: -1e-5", "must be a finite number, 0 or more"),
        ("learning_rate: nan", "must be a finite number, 0 or more"),
        ("max_length: 7", "max_length: 7. The value must be 8 tokens or more"),
        ("max_length: null", "max_length: None"),
        ("num_train_epochs: 0", "num_train_epochs: 0.0"),
        ("adam_beta2: 1", "below 1"),
        ("max_dropped_fraction: 10", "between 0 and 1"),
        ("per_device_train_batch_size: 0", "1 or more"),
        ("condition: direkt", "unknown condition 'direkt'"),
        ("eval_datasets: [{path: a, condition: direkt}]", "unknown condition 'direkt'"),
        ("eval_strategy: epoch", "there are no held-out rows"),
        ("generation_eval_samples: 8", "needs held-out rows"),
        ("eval_fraction: 0.1\neval_datasets: [b.jsonl]", "Keep one of them"),
        ("learning_rate: 1\nlearning_rate: 2", "duplicate key learning_rate"),
        ("eval_datasets: [{path: a, path: b}]", "duplicate key path"),
        ("lr_scheduler_kwargs: {min_lr:1}", "min_lr:1 needs a space after its colon"),
        ("module_learning_rates: low", "module_learning_rates is 'low', which is not a mapping"),
        ("logging_steps: 0", "logging_steps: 0.0. The value must be a finite number above 0"),
        ("accelerator_config: /none.json", "accelerator_config: No such file or directory: /none.json"),
        ("accelerator_config: {foo: 1}", "accelerator_config: AcceleratorConfig"),
        ("fsdp: true\nfsdp_config: nowhere.json", "r.yaml:5: fsdp_config: No such file or directory: nowhere.json"),
        ("num_generations: 8", "num_generations is a setting of hrm-align grpo, not of sft. Leave it out"),
        ("rewards: [exact]", "rewards is a setting of hrm-align grpo"),
        ("report_to: tensorbord", "report_to cannot be 'tensorbord', which is not a tracker. Use tensorboard, or none"),
        ("optim: adamw_bnb_8", "optim: invalid choice: 'adamw_bnb_8': did you mean adamw_bnb_8bit?"),
        ("optim: qqqq", "optim: invalid choice: 'qqqq': use a choice that --help lists, such as adam_atan2."),
        ("lr_scheduler_type: cosin", "lr_scheduler_type: invalid choice: 'cosin': did you mean cosine?"),
        ("optim: sgd\noptim_args: momentum=fast", "optim is sgd with optim_args momentum=fast, which cannot be built"),
        ("lr_scheduler_kwargs: {foo: 1}", "argument 'foo'). Set its options num_cycles, min_lr, min_lr_rate."),
        (
            "lr_scheduler_kwargs: {foo: 1}\nlr_scheduler_type: linear",
            "lr_scheduler_kwargs is {'foo': 1} for linear, which cannot be built",
        ),
        (
            "lr_scheduler_type: warmup_stable_decay",
            "lr_scheduler_type is warmup_stable_decay without lr_scheduler_kwargs, which cannot be built",
        ),
        ("eval_datasets: [a", "not valid YAML"),
        ("- a", "not valid YAML"),
        ("run_name: !!python/name:os.system", "not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line_and_remedy(parse: Parse, line: str, words: str) -> None:
    message = refusal(parse, line)
    assert words in message
    assert message.startswith(("r.yaml:4: ", "r.yaml:5: "))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--lerning-rate", "1"], "did you mean learning_rate?"),
        (["--learning", "1"], "unknown setting learning"),  # argparse alone would take it as an abbreviation
        (["--learning_rate", "fast"], "invalid float value: 'fast'"),
        (["--learning_rate"], "expected one argument"),
        (["--max_seq_length=5"], "max_length"),
        (["--gradient_checkpointing"], "activation_checkpointing"),
        (["stray"], "unexpected argument 'stray'"),
        (["--config"], "config: expected one argument"),
        (["--datasets", "{path: x.jsonl, columns: "], "datasets: '{path: x.jsonl, columns: ' is not a valid mapping"),
        (
            ["--module_learning_rates", "{low: 1e-5"],
            "module_learning_rates: '{low: 1e-5' is not a valid mapping (expected",
        ),
        (
            ["--lr_scheduler_kwargs", "{min_lr:1}"],
            "lr_scheduler_kwargs: '{min_lr:1}' is not a valid mapping (min_lr:1 needs a",
        ),
        (["--lr_scheduler_kwargs", "{min_lr: 1, min_lr: 2}"], "duplicate key min_lr"),
        (["--lr_scheduler_kwargs", "{min_lr: \a}"], "is not a valid mapping (special characters are not allowed)"),
        (["--logging_steps", "0"], "logging_steps: 0.0. The value must be a finite number above 0"),
        (["--accelerator_config", "/none.json"], "accelerator_config: No such file or directory: /none.json."),
        (["--rewards", "exact"], "rewards is a setting of hrm-align grpo"),
    ],
)
def test_a_mistake_in_a_flag_is_named_as_one_of_the_command_line(parse: Parse, flags: list[str], words: str) -> None:
    message = refusal(parse, "", *flags)
    assert words in message and message.startswith("command line: ")


@pytest.mark.parametrize("key", ["model_name_or_path", "datasets", "output_dir"])
def test_what_a_run_cannot_do_without_is_asked_for(parse: Parse, key: str) -> None:
    lines = [line for line in BASE.splitlines() if not line.startswith(key)]
    assert f"{key} is missing" in refusal(parse, base="\n".join(lines) + "\n")


def test_settings_that_exclude_each_other_are_one_sentence(parse: Parse) -> None:
    message = refusal(parse, "use_cpu: true\nbf16: true", "--fp16")
    assert message.startswith("r.yaml:5: bf16 cannot be combined with fp16 (command line): ")
    assert "fp16 and bf16" in message


def test_of_two_mistakes_the_one_that_is_told_has_the_blame(parse: Parse) -> None:
    message = refusal(parse, "seed: 3\nlogging_steps: 1.5\naccelerator_config: /none.json")
    assert message.startswith("r.yaml:5: logging_steps: --logging_steps must be an integer")


@pytest.mark.parametrize(
    ("package", "line", "words"),
    [
        (
            "bitsandbytes",
            "optim: adamw_bnb_8bit",
            "optim is adamw_bnb_8bit, which needs a package that is not installed (",
        ),
        ("galore_torch", "optim: galore_adamw", "optim is galore_adamw, which needs a package that is not installed ("),
        (
            "tensorboard",
            "report_to: [wandb, tensorboard]",
            "report_to is tensorboard, which is not installed. Run `pip",
        ),
        ("flytekit", "report_to: flyte", "report_to is flyte, which is not installed. Run `pip install flytekit`"),
        ("deepspeed", "deepspeed: x.json", "deepspeed needs a package that is not installed ("),
    ],
)
def test_a_package_that_is_missing_is_named_before_a_run_begins(
    parse: Parse, package: str, line: str, words: str
) -> None:
    if find_spec(package) or (package == "tensorboard" and find_spec("tensorboardX")):
        pytest.skip(f"{package} is installed")
    message = refusal(parse, line)
    assert message.startswith(f"r.yaml:4: {words}") and package in message


def test_what_is_only_counted_need_not_be_installed(parse: Parse) -> None:
    parse()
    assert parse_either(["--config", "r.yaml", "--optim", "adamw_bnb_8bit", "--report_to", "tensorboard"])


def test_a_setting_of_fine_tuning_is_no_stranger_to_reinforcement_learning(parse: Parse) -> None:
    parse()
    with pytest.raises(UserError, match="command line: packing is a setting of hrm-align sft, not of grpo"):
        parse_grpo(["--config", "r.yaml", "--packing"])


@pytest.mark.parametrize(("read", "name"), [(parse_sft, "sft"), (parse_grpo, "grpo")])
def test_help_lists_what_can_be_set_in_its_own_words(
    read: Callable[..., object], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(["--help-all"])
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert text.startswith(f"usage: hrm-align {name} ")
    flags = {word.strip("[],") for word in text.split() if word.lstrip("[").startswith("--")}
    assert {"--learning_rate", "--optim", "--push_to_hub", "--config"} <= flags
    refused = ("gradient_checkpointing", "no_gradient_checkpointing", "gradient_checkpointing_kwargs", "truncation_mode",
               "dataset_text_field", "hub_token", "reward_weights", "env", "max_prompt_length")  # fmt: skip
    assert not flags & {f"--{key}" for key in refused}
    assert "OptimizerNames" not in text and "--optim {adam_atan2,adamw_torch,adamw_torch_fused," in words
    assert "Export the run when it ends" in words and "every time the model is saved" not in words
    assert "latest: the newest complete checkpoint in output_dir" in words


def test_a_missing_recipe_is_answered_with_the_nearest_one(parse: Parse) -> None:
    parse()
    for wrong in ("rr.yaml", "r.yml"):
        with pytest.raises(UserError, match=r"did you mean r\.yaml\?"):
            parse_sft(["--config", wrong])


def test_a_folder_in_place_of_a_recipe_is_told_with_its_recipes(parse: Parse) -> None:
    parse()
    Path("many").mkdir()
    for name in "abcdef":
        Path(f"many/{name}.yaml").touch()
    Path("empty").mkdir()
    for folder, remedy in (
        ("many", "name a file in it (a.yaml, b.yaml, c.yaml, d.yaml and 2 more)"),
        ("empty", "give the path of a YAML file"),
    ):
        with pytest.raises(UserError) as caught:
            parse_sft(["--config", f"{folder}/"])
        assert str(caught.value) == f"{folder} is a folder, not a recipe file: {remedy} after --config."


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b", "# only a comment"])
def test_a_file_that_is_no_mapping_is_refused_with_its_line(parse: Parse, text: str) -> None:
    assert refusal(parse, base=text).startswith("r.yaml:1: the recipe is not a mapping")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        parse_sft(["--config", str(tmp_path / "r.yaml")])
    (tmp_path / "r.yaml").write_bytes(b"seed: 1\nrun_name: \x07")
    with pytest.raises(UserError, match=r"r\.yaml:2: not valid YAML"):
        parse_sft(["--config", str(tmp_path / "r.yaml")])


def test_resolved_holds_every_setting_and_reads_back_as_the_same_recipe(parse: Parse) -> None:
    lines = "learning_rate: 1e-3\nactivation_checkpointing: true\nreport_to: [wandb]\neval_datasets: [{path: b, split: test}]"
    first = resolved(parse(lines))
    assert first["learning_rate"] == 1e-3 and first["seed"] == 42 and first["condition"] == "direct"
    assert first["datasets"] == [{"path": "a.jsonl"}]
    Path("again.yaml").write_text(yaml.safe_dump(first), encoding="utf-8")
    assert resolved(parse_sft(["--config", "again.yaml"])) == first


@pytest.mark.parametrize("key", ["hub_token", "hf_token", "token"])
def test_a_token_is_no_setting_and_never_shown(parse: Parse, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    assert SECRET not in yaml.safe_dump(resolved(parse()))
    for message in (
        refusal(parse, f"{key}: {SECRET}"),
        refusal(parse, "", f"--{key}", SECRET),
        refusal(parse, "", f"--{key}={SECRET}"),
    ):
        assert SECRET not in message and key in message
