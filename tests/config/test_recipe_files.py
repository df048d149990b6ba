"""Recipes by name, and the files that a recipe names by a relative path."""

import fnmatch
import json
import os
from pathlib import Path

import pytest
import yaml

from hrm_align.commands.recipes import describe
from hrm_align.config.checks import kind_of
from hrm_align.config.parser import parse, resolved
from hrm_align.config.recipe_files import shipped_recipes
from hrm_align.config.rules import recipe_kind
from hrm_align.errors import UserError
from hrm_align.trainers.grpo_config import parse_grpo
from hrm_align.trainers.sft_config import parse_sft
from tests.command_line import run

ROOT = Path(__file__).parents[2]
ROW = '{"prompt": "copy sun", "response": "sun"}\n'
OTHER = '{"prompt": "copy owl", "response": "owl"}\n'


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty current folder, and beside it a folder for recipes."""
    (tmp_path / "here").mkdir()
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def recipe(folder: Path, **settings) -> str:
    text = yaml.safe_dump({"model_name_or_path": "tiny", "output_dir": "out", **settings}, sort_keys=False)
    (folder / "recipes/mine.yaml").write_text(text)
    return str(folder / "recipes/mine.yaml")


def parsed(*argv):
    return parse_sft(["--config", *argv]).data


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("tiny/")])
def test_a_shipped_recipe_finds_its_data_in_any_folder(name, elsewhere):
    kind = describe(shipped_recipes()[name])["command"]
    data = parse(recipe_kind(kind), ["--config", name]).data
    paths = [entry["path"] for entries in (data.datasets, data.eval_datasets, data.guard_datasets) for entry in entries]
    assert paths and all(os.path.isabs(path) and os.path.isfile(path) for path in paths)


def test_beside_the_recipe_comes_before_the_current_folder_and_that_before_the_shipped_data(elsewhere):
    config = recipe(elsewhere, datasets=[{"path": "data/chat/test.jsonl"}])
    shipped = (ROOT / "data/chat/test.jsonl").read_text()
    assert parsed(config).datasets[0]["path"] == str(ROOT / "data/chat/test.jsonl")
    here, beside = elsewhere / "here/data/chat/test.jsonl", elsewhere / "recipes/data/chat/test.jsonl"
    for place, found in ((here, "data/chat/test.jsonl"), (beside, str(beside))):
        place.parent.mkdir(parents=True)
        place.write_text(shipped)  # the same content in two places is no question
        assert parsed(config).datasets[0]["path"] == found
    assert parsed(config, "--datasets", "data/chat/test.jsonl").datasets[0]["path"] == "data/chat/test.jsonl"


@pytest.mark.parametrize("path, files", [
    ("rows.jsonl", ["rows.jsonl"]),
    ("rows", ["rows/train.jsonl"]),
    ("rows-*.jsonl", ["rows-1.jsonl", "rows-2.jsonl"]),
])  # fmt: skip
def test_two_places_with_different_content_are_an_error_with_the_line(path, files, elsewhere):
    config = recipe(elsewhere, datasets=[path])
    for place in ("here", "recipes"):
        for name in files:
            file = elsewhere / place / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(ROW)
    assert parsed(config).datasets[0]["path"] == str(elsewhere / "recipes" / path)
    (elsewhere / "here" / files[-1]).write_text(OTHER)
    with pytest.raises(UserError, match=r"mine\.yaml:3: datasets: .* ambiguous: .*recipes.* and .*here.*absolute path"):
        parsed(config)
    for name in files:
        (elsewhere / "here" / name).unlink()
    assert parsed(config).datasets[0]["path"].startswith(str(elsewhere / "recipes"))


def test_every_setting_that_names_a_file_is_looked_up(elsewhere):
    names = ("a.jsonl", "b.jsonl", "guard.jsonl", "rates.jsonl", "mine.py", "schema.json")
    for name in names:
        (elsewhere / "recipes" / name).write_text("{}")
    beside = {name: str(elsewhere / "recipes" / name) for name in names}
    config = recipe(
        elsewhere,
        datasets=[
            {"path": "json", "data_files": {"train": ["a.jsonl", "b.jsonl"]}},
            {"path": "json", "data_files": "a.jsonl"},
        ],
        eval_datasets=["b.jsonl"],
        guard_datasets=["guard.jsonl", "nobody/nothing"],
        headroom="rates.jsonl",
        rewards=[{"file": "mine.py"}, {"name": "json_fields", "schema": "schema.json"}],
    )
    read = parse_grpo(["--config", config])
    assert read.data.datasets[0]["data_files"] == {"train": [beside["a.jsonl"], beside["b.jsonl"]]}
    assert read.data.datasets[1]["data_files"] == beside["a.jsonl"]
    assert read.data.eval_datasets == [{"path": beside["b.jsonl"]}]
    assert read.data.guard_datasets == [{"path": beside["guard.jsonl"]}, {"path": "nobody/nothing"}]  # a Hub id
    assert read.rewards.headroom == beside["rates.jsonl"]
    assert read.rewards.rewards == [
        {"file": beside["mine.py"]},
        {"name": "json_fields", "schema": beside["schema.json"]},
    ]


def test_the_resolved_settings_mean_the_same_in_another_folder(elsewhere, monkeypatch):
    here = elsewhere / "here"
    for name in ("rows.jsonl", "held.jsonl"):
        (here / name).write_text(ROW)
    (here / "model").mkdir()
    flags = [
        "--model_name_or_path",
        "model",
        "--datasets",
        "rows.jsonl",
        "nobody/nothing",
        "--eval_datasets",
        "held.jsonl",
    ]
    first = resolved(parse_sft([*flags, "--output_dir", "out"]))
    assert first["datasets"] == [{"path": str(here / "rows.jsonl")}, {"path": "nobody/nothing"}]
    assert first["eval_datasets"] == [{"path": str(here / "held.jsonl")}]
    assert (first["model_name_or_path"], first["output_dir"]) == (str(here / "model"), str(here / "out"))
    (here / "resolved.yaml").write_text(yaml.safe_dump(first))
    monkeypatch.chdir(elsewhere)
    assert resolved(parse_sft(["--config", "here/resolved.yaml"])) == first
    (elsewhere / "tiny").mkdir()  # another model than the one that ships with the package
    assert resolved(parse_sft(["--model_name_or_path", "tiny", "--datasets", "x.jsonl", "--output_dir", "o"]))[
        "model_name_or_path"
    ] == "tiny"  # fmt: skip


def test_recipes_are_listed_shown_and_copied(elsewhere, capsys):
    code, out, _ = run(capsys, "recipes", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0 and rows.keys() == shipped_recipes().keys()
    assert rows["tiny/math_grpo"]["command"] == "grpo" and rows["tiny/sft"]["command"] == "sft"
    assert run(capsys, "recipes", "show", "tiny/sft")[1] == (ROOT / "recipes/tiny/sft.yaml").read_text()
    code, out, _ = run(capsys, "recipes", "copy", "tiny/sft", "mine")
    assert code == 0 and "hrm-align sft --config mine/sft.yaml" in out
    assert Path("mine/sft.yaml").read_text() == (ROOT / "recipes/tiny/sft.yaml").read_text()
    assert parsed("mine/sft.yaml").datasets == parsed("tiny/sft").datasets


@pytest.mark.parametrize("words, named", [
    (["sft", "--config", "tiny/sftt"], "did you mean --config tiny/sft?"),
    (["sft", "--config", "recipes/tiny/sft.yaml"], "did you mean --config tiny/sft?"),
    (["sft", "--config", "nothing"], "hrm-align recipes list"),
    (["sft", "--config", "accelerate/cpu"], "there is no recipe"),
    (["recipes", "show", "tiny/sftt"], "did you mean --config tiny/sft?"),
    (["recipes", "copy", "tiny/sft"], "takes NAME DIR"),
    (["recipes", "burn"], "Use list, show NAME, or copy NAME DIR"),
    (["recipes", "copy", "tiny/sft", "."], "already exists"),
])  # fmt: skip
def test_a_wrong_name_is_one_sentence(words, named, elsewhere, capsys):
    Path("sft.yaml").write_text("")
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1) and named in err


def test_a_file_comes_before_a_shipped_recipe_of_the_same_name(elsewhere):
    Path("tiny").mkdir()
    assert len(parsed("tiny/sft").datasets) == 2  # a folder is no recipe
    Path("tiny/sft").write_text(Path(recipe(elsewhere, datasets=["mine.jsonl"])).read_text())
    assert parsed("tiny/sft").datasets == [{"path": "mine.jsonl"}]


def test_the_package_holds_every_recipe_and_the_data_of_the_tiny_ones():
    text = (ROOT / "pyproject.toml").read_text()
    patterns = {
        "recipes": ["*/*.yaml", "launch/*.sh"],
        "data": ["*/*.jsonl", "*/*.json", "*/README.md", "sql/databases/*.sql"],
    }
    for folder, names in patterns.items():
        assert all(f'"{name}"' in text for name in names)
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT / folder).as_posix()
            if path.is_file() and "/" in name and path.suffix not in (".py", ".pyc"):
                assert any(fnmatch.fnmatch(name, pattern) for pattern in names), f"{folder}/{name} is not installed"


@pytest.mark.parametrize("name, keys, kind", [
    ("tiny/dpo.yaml", {"learning_rate"}, "dpo"),
    ("mine.yaml", {"learning_rate"}, "sft"),
    ("my-dpo-2.yaml", {"learning_rate"}, "dpo"),
    ("mine.yaml", {"learning_rate", "precompute_ref_log_probs", "loss_weights"}, "dpo"),
    ("dpo.yaml", {"learning_rate", "packing"}, "sft"),
    ("dpo.yaml", {"learning_rate", "rewards"}, "grpo"),
    ("dpo.yaml", {"lerning_rate"}, "dpo"),
])  # fmt: skip
def test_the_kind_of_a_recipe_is_that_of_its_settings_and_then_of_its_name(name, keys, kind):
    assert kind_of(keys, name) == kind
