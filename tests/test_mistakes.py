"""Mistakes at the command line: each is one sentence with the setting and the remedy, exit code 2, no traceback, nothing trained.

The mistakes of `CHEAP` are decided by the schema alone, in flags as in files: without importing torch, within a second.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hrm_align.config import checks
from hrm_align.models.loading import resolve
from tests.command_line import run

ROWS = [{"prompt": f"Add {i} and 1.", "response": f"{i + 1}"} for i in range(8)]
TRAINING = "--model_name_or_path tiny --datasets rows.jsonl --output_dir out"
SFT = f"sft {TRAINING}"
GRPO = f"grpo {TRAINING} --rewards exact --num_generations 4 --per_device_train_batch_size 4 --max_completion_length 8"

# A command line, or after `yaml:` the lines of a recipe; what names the mistake; what names the remedy.
CHEAP = [
    ("sft --max_steps abc", "command line: max_steps: invalid int value: 'abc'", "Use a whole number"),
    ("sft --learning_rate fast", "learning_rate: invalid float value: 'fast'", "Use a number"),
    ("sft --packing maybe", "packing: invalid true or false value: 'maybe'", "Use true or false"),
    ("sft --save_strategy often", "save_strategy: invalid choice: 'often'", "choose from 'no', 'steps'"),
    ("grpo --algorithm ppo", "algorithm: invalid choice: 'ppo'", "'dr_grpo'"),
    ("grpo --loss_type dpo", "loss_type: invalid choice: 'dpo'", "'grpo'"),
    ("grpo --scale_rewards row", "scale_rewards: invalid choice: 'row'", "'group'"),
    ("sft --optim adamw_troch", "optim: invalid choice", "did you mean adamw_torch?"),
    ("sft --max_steps", "max_steps: expected one argument", "Write the value after the setting"),
    ("sft --datasets", "datasets: expected at least one argument", "Write one value or more"),
    ("sft --sead 1", "unknown setting sead", "did you mean seed?"),
    ("sft --warmup_ratio 0.1", "unknown setting warmup_ratio", "write warmup_steps"),
    ("sft --num_generations 4", "num_generations is a setting of hrm-align grpo", "Leave it out"),
    ("sft -x", "unexpected argument '-x'", "Use --setting value"),
    ("sft --config nowhere/mine.yml", "cannot read the recipe nowhere/mine.yml", "did you mean"),
    ("sft --config folder", "folder is a folder, not a recipe file", "the path of a YAML file after --config"),
    ("sft", "model_name_or_path is missing", "Name the model to train"),
    ("sft --model_name_or_path tiny --output_dir out", "datasets is missing", "Name the data sets"),
    ("sft --model_name_or_path tiny --datasets rows.jsonl", "output_dir is missing", "Name the folder for the run"),
    (f"grpo {TRAINING}", "rewards is missing", "Name the rewards"),
    (f"{SFT} --seed -1", "invalid value for seed: -1", "0 to 4294967295"),
    (f"{SFT} --data_seed 99999999999", "invalid value for data_seed: 99999999999", "0 to 4294967295"),
    (f"{SFT} --dataloader_num_workers -2", "invalid value for dataloader_num_workers: -2", "0 or more"),
    (f"{SFT} --bp_steps 0", "invalid value for bp_steps: 0", "2 or more"),
    (f"{SFT} --bp-min-steps -1", "invalid value for bp_min_steps: -1", "2 or more"),
    (f"{SFT} --ema_decay 1", "invalid value for ema_decay: 1.0", "above 0 and below 1"),
    (f"{SFT} --learning_rate -1e-5", "invalid value for learning_rate: -1e-05", "0 or more"),
    (f"{SFT} --learning_rate nan", "invalid value for learning_rate: nan", "a finite number"),
    (f"{SFT} --weight_decay inf", "invalid value for weight_decay: inf", "a finite number"),
    (f"{SFT} --save_steps 0", "invalid value for save_steps: 0.0", "above 0"),
    (f"{SFT} --save_total_limit -1", "invalid value for save_total_limit: -1", "0 or more"),
    (f"{SFT} --per_device_train_batch_size {10**12}", f"per_device_train_batch_size: {10**12}", "at most 2147483647"),
    (f"{SFT} --max_length 7", "invalid value for max_length: 7", "8 tokens or more"),
    (f"{SFT} --eval_steps 5", "eval_steps has no effect while eval_strategy is no", "Set eval_strategy to steps"),
    (f"{SFT} --save_strategy epoch --save_steps 5", "save_steps has no effect", "Set save_strategy to steps"),
    (f"{SFT} --dataloader_prefetch_factor 2", "no effect without dataloader_num_workers", "Set dataloader_num_workers"),
    (f"{SFT} --bp_min_steps 3", "bp_min_steps has no effect without bp_warmup_ratio", "leave bp_min_steps out"),
    (f"{SFT} --lr_scheduler_type constant --warmup_steps 3", "warmup_steps has no effect", "constant_with_warmup"),
    (f"{SFT} --max_steps 4 --warmup_steps 9", "invalid value for warmup_steps: 9", "use fewer steps"),
    (f"{SFT} --completion_only_loss false", "completion_only_loss cannot be set to this value", "response only"),
    (f"{SFT} --label_names foo", "label_names cannot be set to this value", "always called labels"),
    (f"{GRPO} --beta -0.1", "invalid value for beta: -0.1", "0 or more"),
    (f"{GRPO} --steps_per_generation 0", "invalid value for steps_per_generation: 0", "1 or more"),
    (f"{GRPO} --num_generations 1", "invalid value for num_generations: 1", "2 or more"),
    (f"{GRPO} --temperature 0", "invalid value for temperature: 0.0", "above 0"),
    (f"{GRPO} --top_p 2", "invalid value for top_p: 2.0", "at most 1"),
    (f"{GRPO} --vllm_mode colocate", "vllm_mode cannot be set to this value", "use server"),
    (f"{GRPO} --vllm_server_base_url http://localhost:8000", "has no effect", "Set use_vllm"),
    (f"{GRPO} --entropy_target 0.3", "entropy_target has no effect", "Set use_adaptive_entropy"),
    (f"{GRPO} --label_smoothing_factor 0.1", "label_smoothing_factor cannot be set", "no labels to smooth"),
    ("yaml: max_steps: abc", "r.yaml:4: max_steps: invalid int value: 'abc'", "Use a whole number"),
    ("yaml: learning_rate: [1, 2]", "r.yaml:4: invalid value for learning_rate: a list", "Use a number"),
    ("yaml: seed:", "r.yaml:4: invalid value for seed: empty", "Use a whole number"),
    ("yaml: seed: 1\nseed: 2", "r.yaml:5: not valid YAML: duplicate key seed", "keep one"),
    ("yaml: lerning_rate: 1", "r.yaml:4: unknown setting lerning_rate", "did you mean learning_rate?"),
    ("yaml: bp_steps: 0", "r.yaml:4: invalid value for bp_steps: 0", "2 or more"),
    ("yaml: eval_steps: 3", "r.yaml:4: eval_steps has no effect", "leave eval_steps out"),
    ("yaml: eval_datasets: [3]", "r.yaml:4: invalid value for eval_datasets[0]: 3", "Use a path or a mapping"),
    ("yaml: hub_token: hf_x", "r.yaml:4: hub_token cannot be set to this value", "Set HF_TOKEN in the environment"),
    ("sgt", "unknown command 'sgt'", "did you mean sft?"),
    ("evaluate --modle tiny --data rows.jsonl", "unknown option --modle", "did you mean --model?"),
    ("evaluate --model tiny --data rows.jsonl --limit 0", "invalid value for --limit: 0", "Use 1 or more"),
    ("evaluate --model tiny --data rows.jsonl --dtype int3", "--dtype: invalid choice: 'int3'", "'bfloat16'"),
    ("generate --model tiny --prompt x --temperature -1e-3", "--temperature: -0.001", "0 or more"),
    ("generate --model tiny --prompt x --seed -1", "invalid value for --seed: -1", "0 to 4294967295"),
    ("generate --model tiny --prompt x --samples 3", "unknown option --samples", "see hrm-align generate --help"),
    ("inspect rows.jsonl --model tiny --max_length 2", "invalid value for --max_length: 2", "Use 8 or more"),
    ("headroom --model tiny --data rows.jsonl --rewards exact --samples 0", "--samples: 0", "Use 1 or more"),
    ("rewards exact --data rows.jsonl --deadline nan", "invalid value for --deadline: nan", "above 0"),
    ("export out --to x --max_new_tokens 0", "invalid value for --max_new_tokens: 0", "Use 1 or more"),
    ("export out --to x --force yes", "--force: invalid choice: 'yes'", "parity"),
    ("adapters merge out", "required: --to", "see hrm-align adapters merge --help"),
    ("convert out --to x --epoch -1", "invalid value for --epoch: -1", "Use 0 or more"),
    ("doctor tiny --fux", "unknown option --fux", "did you mean --fix?"),
    ("estimate --memory 0", "invalid value for --memory: 0.0", "above 0"),
    (f"estimate {TRAINING} --max_steps abc", "max_steps: invalid int value: 'abc'", "Use a whole number"),
]  # fmt: skip

# Mistakes that need the data, the model, the rewards or the libraries.
OTHERS = [
    ("inspect rows.jsonl", "--model is missing", "name the checkpoint"),
    (f"{SFT} --datasets nothing.jsonl", "file not found: nothing.jsonl", "Check the path"),
    (f"{SFT} --datasets folder", "no data file in the directory folder", "Data files end in .jsonl"),
    (f"{SFT} --datasets empty.jsonl", "empty.jsonl has no rows", "Add rows"),
    (f"{SFT} --datasets binary.parquet", "binary.parquet cannot be read", "copy the file again"),
    (f"{SFT} --model_name_or_path rows.jsonl", "rows.jsonl is a file, not the folder of a model", "Name the folder"),
    (f"{SFT} --model_name_or_path folder", "the folder folder has no tokenizer.json", "Name the folder of a saved model"),
    (f"{SFT} --output_dir rows.jsonl", "cannot write to rows.jsonl", "choose another --output_dir"),
    (f"{SFT} --use_peft true --lora_r 129", "invalid value for lora_r: 129", "use 128 or less"),
    (f"{SFT} --num_train_epochs 1 --warmup_steps 50", "--warmup_steps: 50. The run has 1 steps", "use fewer steps"),
    (f"{SFT} --bp_steps 9", "invalid value for --bp_steps: 9", "use 2 to 8"),
    (f"{SFT} --optim_args foo=1", "optim_args sets foo, which adamw_torch_fused does not read", "Leave it out"),
    (f"{SFT} --torch_compile_mode fastest", "torch_compile_mode cannot be 'fastest'", "max-autotune"),
    (f"{SFT} --activation_checkpointing true --activation_checkpointing_kwargs {{every: 2}}", "sets every", "every_n_layers"),
    (f"{SFT} --pad_to_multiple_of -8", "pad_to_multiple_of is -8", "Use 1 or more"),
    (f"{SFT} --preemption_dir rows.jsonl", "preemption_dir is rows.jsonl, a file", "Name a folder"),
    (f"{SFT} --eval_datasets rows.jsonl --metric_for_best_model rouge", "which no evaluation computes", "use eval_loss"),
    (f"{GRPO} --rewards exat", "unknown reward 'exat'", "exact"),
    (f"{GRPO} --eval_datasets rows.jsonl --eval_strategy steps", "nothing to evaluate", "set generation_eval_samples"),
    (f"{GRPO} --num_generations 3", "num_generations", "divisible"),
    ("evaluate --model tiny", "--data is missing", "name the rows to answer with --data FILE"),
    ("evaluate --model tiny --data rows.jsonl --split test", "--split test", "Leave --split out"),
    ("rewards --function mine", "--function mine needs the Python file", "Add --file"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a good file of rows, and bad ones."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    Path("folder").mkdir()
    Path("empty.jsonl").touch()
    Path("binary.parquet").write_bytes(bytes(range(64)))
    return tmp_path


def recipe(lines: str) -> list[str]:
    Path("r.yaml").write_text(f"model_name_or_path: tiny\ndatasets: [rows.jsonl]\noutput_dir: out\n{lines}\n")
    return ["sft", "--config", "r.yaml"]


def split(line: str) -> list[str]:
    """Split a command line at its spaces, except within braces."""
    head, brace, tail = line.partition("{")
    return [*head.split(), brace + tail] if brace else head.split()


def check_sentence(mistake, code, err):
    line, name, remedy = mistake
    last = err.splitlines()[-1] if err else ""
    assert code == 2 and last.startswith("error: ") and err.count("error: ") == 1 and "Traceback" not in err, (
        line,
        err,
    )
    assert name in last and remedy in last, (line, last)
    assert last.endswith((".", "?", ")")), last


ANSWERS = """
import contextlib, io, json, os, sys, time
from hrm_align.cli import dispatch, run_with_exit_code
answers = []
for place, words in enumerate(json.load(sys.stdin)):
    err, before = io.StringIO(), time.process_time()
    with contextlib.redirect_stderr(err):
        code = run_with_exit_code(dispatch, words)
    answers.append((code, err.getvalue(), time.process_time() - before))
print(json.dumps([answers, sorted(name for name in ("torch", "transformers", "datasets") if name in sys.modules)]))
"""


def test_what_the_schema_decides_is_answered_without_torch_in_one_sentence(folder):
    """Seen: 0.01 s of each, after 0.1 s for the start."""
    words = []
    for number, (line, *_) in enumerate(CHEAP):
        if line.startswith("yaml: "):
            Path(f"{number}").mkdir()
            os.chdir(f"{number}")
            recipe(line.removeprefix("yaml: "))
            os.chdir("..")
            words.append(["sft", "--config", f"{number}/r.yaml"])
        else:
            words.append(split(line))
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", ANSWERS], input=json.dumps(words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers, imported = json.loads(done.stdout)
    assert imported == [] and len(answers) == len(CHEAP) and len(CHEAP) + len(OTHERS) >= 60
    for mistake, (code, err, seconds) in zip(CHEAP, answers, strict=True):
        check_sentence(mistake, code, err)
        assert seconds < 0.5, mistake
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("mistake", OTHERS, ids=lambda mistake: mistake[0].replace(TRAINING, "").replace("--", ""))
def test_what_needs_more_than_the_schema_is_one_sentence_too(capsys, folder, mistake):
    code, _, err = run(capsys, *split(mistake[0]))
    check_sentence(mistake, code, err)
    assert not Path("out/model.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vocab_size": 511}, "Correct vocab_size in config.json"),
        ({"hidden_size": 256}, "Correct hidden_size in config.json"),
        ({"intermediate_size": 385}, "Correct intermediate_size in config.json"),
        ({"num_attention_heads": 8}, "Correct num_attention_heads or head_dim in config.json"),
        ({"num_layers_per_stack": 2, "num_hidden_layers": 16}, "16 missing"),
        ({"head_dim": 0}, "invalid value for head_dim: 0"),
        ({"vocab_size": -1}, "invalid value for vocab_size: -1"),
        ({"num_attention_heads": 0}, "cannot be loaded"),
        ({"hidden_act": "nonsense"}, "invalid value for hidden_act: 'nonsense'"),
        ({"attention_dropout": -1}, "invalid value for attention_dropout: -1"),
        ({"H_cycles": "2"}, "Field 'H_cycles' expected int, got str"),
        ({"dtype": "nonsense"}, "cannot be loaded"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_the_weights_is_named(capsys, folder, change, words):
    model = folder / "model"
    model.mkdir()
    for file in Path(resolve("tiny")).iterdir():
        (model / file.name).symlink_to(file)
    config = json.loads((model / "config.json").read_text()) | change
    (model / "config.json").unlink()
    (model / "config.json").write_text(json.dumps(config))
    code, _, err = run(capsys, "generate", "--model", model, "--prompt", "x", "--max_new_tokens", 1)
    last = err.splitlines()[-1]
    assert code == 2 and last.startswith("error: ") and words in last and "Traceback" not in err, err


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3"])
@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_json_file_of_a_model_is_one_sentence(capsys, folder, file, content):
    model = folder / "model"
    model.mkdir()
    for other in Path(resolve("tiny")).iterdir():
        if other.name != file:
            (model / other.name).symlink_to(other)
    (model / file).write_text(content)
    code, _, err = run(capsys, "generate", "--model", model, "--prompt", "x", "--max_new_tokens", 1)
    assert code == 2 and err.splitlines()[-1].startswith("error: ") and str(model) in err and "Traceback" not in err, (
        err
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--seed 1 --seed 2", "seed is given 2 times on the command line (1, then 2), and the last one applies"),
        ("--seed=1 --seed 2", "seed is given 2 times on the command line (1, then 2)"),
        ("--bp_steps 3 --bp-steps=4", "bp_steps is given 2 times on the command line (3, then 4)"),
        ("--health true --no_health", "health is given 2 times on the command line (true, then --no_health)"),
    ],
)
def test_a_flag_given_twice_is_a_warning(capsys, folder, flags, words):
    """It is no error: `hrm-align $SHARED --max_steps 1` overrides a flag of the shared ones."""
    checks._warn.cache_clear()  # each warning is printed once in a process
    _, _, err = run(capsys, *SFT.split(), *flags.split(), "--bp_warmup_ratio", f"{2 + len(flags)}")
    assert "warning:" not in err, "another mistake is reported alone"
    _, _, err = run(capsys, *SFT.split(), *flags.split(), "--datasets", "nothing.jsonl")
    assert err.startswith("warning: ") and words in err and "datasets is given 2 times" in err


def test_a_flag_may_switch_off_what_a_recipe_sets_up(capsys, folder):
    """`eval_steps` of a file has no effect under `--eval_strategy no`, which was the wish of the user."""
    words = recipe("eval_datasets: [rows.jsonl]\neval_strategy: steps\neval_steps: 5\nsave_steps: 5")
    off = ("--eval_strategy", "no", "--save_strategy", "no", "--datasets", "nothing.jsonl")
    for more in ((), ("--save_steps", "7")):
        code, _, err = run(capsys, *words, *off, *more)
        assert code == 2 and "file not found: nothing.jsonl" in err


def test_the_largest_seed_and_an_adapter_of_full_rank_train(capsys, folder):
    words = f"{SFT} --max_steps 1 --save_strategy no --report_to none --disable_tqdm true --seed {2**32 - 1}"
    code, _, err = run(capsys, *words.split(), "--use_peft", "true", "--lora_r", "128", "--warmup_steps", "1")
    assert code == 0, err
    assert (folder / "out/adapter_model.safetensors").exists() and torch.initial_seed() == 2**32 - 1
