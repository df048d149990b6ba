"""The schema that answers before torch is imported: it is what the dataclasses say, and it answers fast."""

import copy
import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from hrm_align.cli import COMMANDS
from hrm_align.config import checks, parser, schema
from hrm_align.config.rules import KINDS, recipe_kind
from hrm_align.errors import UserError
from hrm_align.trainers.sft_config import parse_sft
from tests.forks import OFFLINE
from tests.golden.schema import generated

MODULES = "import sys; sys.stderr.write(' '.join(sorted(sys.modules)))"
EVERYDAY = 20  # settings that `--help` shows


def test_the_file_is_what_the_dataclasses_say():
    """Write it anew with `python -m tests.golden.schema`. Releases differ in texts of help alone: what is a setting in one is
    one in all, so that none is refused by name where it exists."""
    stored, made = copy.deepcopy(schema.schema()), json.loads(json.dumps(generated()))
    if stored["made_with"] != made["made_with"]:
        for whole in (stored, made):
            del whole["made_with"]
            for recipe in whole["recipes"].values():
                for setting in recipe["settings"].values():
                    setting.pop("help", None)
    assert stored == made


@pytest.mark.parametrize("given", ["yesterdays: 1", "yesterdays: [1]", "--yesterdays=1", "--yesterdays 1"])
def test_a_setting_of_another_release_is_refused_with_its_place(given, tmp_path, monkeypatch):
    """Neither a traceback nor silence, which a name would get that the schema has and the dataclasses do not."""
    other = copy.deepcopy(schema.schema())
    other["recipes"]["sft"]["settings"]["yesterdays"] = {
        "type": "int",
        "default": None,
        "help": "",
        "accepts": ["list"],
    }
    other["recipes"]["sft"]["flags"].append("--yesterdays")
    other["made_with"]["transformers"] = "5.99.0"
    for module in (schema, parser, checks):
        monkeypatch.setattr(module, "schema", lambda: other)
    monkeypatch.setattr(
        checks, "settings_parser", checks.settings_parser.__wrapped__
    )  # the cached parser has other settings
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "model_name_or_path: tiny\ndatasets: [a.jsonl]\noutput_dir: runs/x\n"
        + ("" if given.startswith("--") else given),
        encoding="utf-8",
    )
    words = given.split() if given.startswith("--") else []
    with pytest.raises(UserError) as refused:
        parse_sft(["--config", str(recipe), *words])
    where = "command line" if words else f"{recipe}:4"
    assert str(refused.value).startswith(f"{where}: the setting yesterdays exists in transformers 5.99.0, trl ")
    assert f"but not in the installed transformers {version('transformers')}" in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
def test_everyday_settings_are_settings_that_a_recipe_can_give(kind):
    known = recipe_kind(kind)
    assert len(known.everyday) == len({*known.everyday}) == EVERYDAY
    assert {*known.everyday} <= known.keys - known.hidden
    assert os.path.isfile(known.example)


def answered(*words, env=None):
    """Run the command line; its exit code, output, and whether torch was imported for it."""
    program = f"import sys; from hrm_align.cli import main; sys.argv = {['hrm-align', *words]!r}\ncode = main()\n{MODULES}; sys.exit(code)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    return done.returncode, done.stdout, done.stderr


FAST = {
    "--help": (0, "hrm-align COMMAND"),
    "--version": (0, version("hrm_align")),
    "sft --help": (0, "--learning_rate NUMBER"),
    "grpo --help": (0, "--num_generations INT"),
    "sft --help-all": (0, "--neftune_noise_alpha"),
    "evaluate --help": (0, "--match"),
    "adapters merge --help": (0, "--to DIR"),
    "completion bash": (0, "--learning_rate"),
    "sft --lerning_rate 1e-3": (2, "unknown setting lerning_rate: did you mean learning_rate?"),
    "grpo --packing true": (2, "packing is a setting of hrm-align sft"),
    "sft --config recipes/tiny/stf.yaml": (2, "did you mean recipes/tiny/sft.yaml?"),
    "sfg": (2, "did you mean sft?"),
    "completion powershel": (2, "Name one of bash"),
}


@pytest.mark.parametrize("words", FAST)
def test_it_answers_without_torch(words):
    code, expected = FAST[words]
    given, out, err = answered(*words.split())
    assert given == code, err
    assert expected in (err if code else out)
    assert "torch" not in err.split() and "transformers" not in err.split()


def test_a_misspelt_key_of_a_file_is_named_with_its_line_without_torch(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("model_name_or_path: tiny\nlerning_rate: 1e-3\n", encoding="utf-8")
    code, _, err = answered("sft", "--config", str(recipe))
    assert code == 2 and f"{recipe}:2: unknown setting lerning_rate: did you mean learning_rate?" in err
    assert "torch" not in err.split()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "completion"])
def test_the_help_of_every_command_is_stored(name):
    assert name in {**schema.schema()["recipes"], **schema.schema()["commands"]}


def seconds_of(*command):
    """CPU seconds of a process, the fastest of three."""
    found = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, *command], capture_output=True, check=False)
        after = os.times()
        found.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(found)


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        (["-c", "import hrm_align"], 0.3),
        (["-m", "hrm_align.cli", "--help"], 0.4),
        (["-m", "hrm_align.cli", "--version"], 0.4),
        (["-m", "hrm_align.cli", "sft", "--help"], 0.6),
        (["-m", "hrm_align.cli", "grpo", "--help"], 0.6),
        (["-m", "hrm_align.cli", "sft", "--lerning_rate", "1"], 0.6),
        (["-m", "hrm_align.cli", "sft", "--config", "recipes/tiny/stf.yaml"], 0.6),
        (["-m", "hrm_align.cli", "sft", "--config", "recipes/tiny/sft.yaml", "--max_steps", "abc"], 0.6),
        (["-m", "hrm_align.cli", "grpo", "--config", "recipes/tiny/math_grpo.yaml", "--beta", "-1"], 0.6),
        (["-m", "hrm_align.cli", "evaluate", "--model", "tiny", "--data", "rows.jsonl", "--limit", "0"], 0.6),
        (["-m", "hrm_align.cli", "estimate", "--config", "recipes/tiny/sft.yaml", "--seed", "-1"], 0.6),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else None,
)
def test_it_answers_fast(command, limit):
    """Seen: 0.1 of each, where importing torch and Transformers takes 4."""
    assert seconds_of(*command) < limit


MASKED = "from transformers import HrmTextModel as M; sys.exit('prefix_mask' not in M.forward.__code__.co_filename)"


@pytest.mark.parametrize(
    "program",
    [
        f"import sys, hrm_align, trl; {MASKED}",
        f"import sys, trl, hrm_align; {MASKED}",
        f"import sys; from transformers import HrmTextForCausalLM; import hrm_align; {MASKED}",
        pytest.param(f"import sys, hrm_align.models.attention; {MASKED}", marks=pytest.mark.campaign),
        pytest.param(f"import sys, hrm_align.rollouts.graphs; {MASKED}", marks=pytest.mark.campaign),
    ],
)
def test_stock_classes_have_the_mask_whatever_is_imported_first(program):
    done = OFFLINE.run(program)
    assert done.returncode == 0, done.stderr


def test_public_names_load_when_they_are_used():
    import hrm_align

    assert {"load_model", "load_tokenizer", "render_prompt", "render_conversation"} <= {*dir(hrm_align)}
    assert hrm_align.render_prompt.__module__ == "hrm_align.rendering"
    with pytest.raises(AttributeError, match="no attribute 'lode_model'"):
        _ = hrm_align.lode_model


@pytest.mark.parametrize(
    "words",
    [
        "estimate --config recipes/tiny/sft.yaml --json",
        pytest.param("rewards --json", marks=pytest.mark.campaign),
        pytest.param("doctor tiny --json", marks=pytest.mark.campaign),
        "generate --model tiny --prompt hello --max_new_tokens 2 --json",
    ],
)
def test_standard_output_holds_json_alone(words):
    """Transformers prints a line there when it is imported with wandb offline."""
    program = "import sys; from hrm_align.cli import main; sys.exit(main())"
    done = OFFLINE.run(program, "hrm-align", *words.split(), env={**os.environ, "WANDB_MODE": "offline"})
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
