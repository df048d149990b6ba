"""Pages and READMEs: commands parse, links lead somewhere, names and defaults are those of the code, and the reference is
generated. `make docs` builds the pages strictly; the commands for the tiny base run under the marker `campaign`."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest
import tomllib
import yaml
from accelerate.commands.launch import launch_command_parser

from hrm_align.cli import COMMANDS
from hrm_align.config.checks import kind_given
from hrm_align.config.parser import parse as parse_recipe
from hrm_align.config.rules import KINDS, recipe_kind
from hrm_align.config.schema import schema
from hrm_align.models.prefix_mask import CACHE
from tests.docs_tasks import TASKS
from tests.docs_text import (
    DOCS,
    GENERATED,
    MEASURED,
    PAGES,
    ROOT,
    anchors,
    blocks,
    commands,
    entry_name,
    has_placeholder,
    in_backticks,
    linked_pages,
    links,
    mentioned_commands,
    prose,
    setting_tables,
    words_of,
)

README = ROOT / "README.md"
WRITTEN = [page for page in PAGES if GENERATED not in page.parents]
every_page = pytest.mark.parametrize("page", PAGES, ids=entry_name)
written_pages = pytest.mark.parametrize("page", WRITTEN, ids=entry_name)


@pytest.fixture
def reference(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return import_module("docs_reference")


def test_the_reference_is_what_the_code_says(reference):
    """Write it anew with `python scripts/docs_reference.py`."""
    changed = [
        entry_name(path) for path, text in reference.generated().items() if path.read_text(encoding="utf-8") != text
    ]
    assert not changed
    assert {*GENERATED.glob("*.md")} <= {*reference.generated()}


def test_a_drawn_mask_is_not_causal(reference):
    """By hand: `a` is the first of two prompt tokens, and sees the second and `<|im_end|>`; `x` does not see `y`."""
    import docs_pages.mask as mask

    assert mask.drawn("[ab|xy]").splitlines()[2] == "a   x x x x . . ."
    assert mask.drawn("[ab|xy]").splitlines()[5] == "x   x x x x x . ."


def test_a_metric_without_a_text_is_refused(reference, monkeypatch):
    import docs_pages.names as names

    monkeypatch.delitem(names.METRICS, "seconds/update")
    with pytest.raises(SystemExit, match="seconds/update"):
        names.metrics_page()


# Commands ---------------------------------------------------------------------------------------------------------


class _Parsed(Exception):
    """Carries what a command has parsed out of the command, before it does anything."""


def _parse_command(name: str, words: list[str]) -> None:
    """Parse the words of a command that is no recipe, by the parser that the command makes."""
    import argparse

    original = argparse.ArgumentParser.parse_known_args

    def parse(parser, arguments=None, namespace=None):
        raise _Parsed(original(parser, arguments, namespace)[1])

    with patch.object(argparse.ArgumentParser, "parse_known_args", parse), pytest.raises(_Parsed) as parsed:
        import_module(COMMANDS[name][0]).main(words)
    rest = parsed.value.args[0]
    if name == "estimate":
        parse_recipe(recipe_kind(kind_given(rest)), rest)
    else:
        assert not rest


def _parse(words: list[str]) -> None:
    words = [word for word in words if word != "--help"]
    if words[:2] == ["accelerate", "launch"]:
        launch = launch_command_parser().parse_args(words[2:])
        assert launch.config_file is None or Path(launch.config_file).is_file()
        assert launch.module or Path(launch.training_script).is_file()
        program = [] if launch.module else [Path(launch.training_script).stem]  # the module is the command line itself
        words = ["hrm-align", *program, *launch.training_script_args]
    _, name, *rest = words
    assert name in COMMANDS
    if not rest:  # the name of a command in a sentence
        return
    if name == "completion":
        assert rest in (["bash"], ["zsh"], ["tcsh"])
    elif name in KINDS:
        parse_recipe(recipe_kind(name), rest)
    else:
        _parse_command(name, rest)


@cache
def known_flags(name: str) -> set[str]:
    """Flags of a command, its subcommands included."""
    stored = schema()
    if name in KINDS:
        return {*stored["recipes"][name]["flags"], "--help-all"}
    flags = {flag for full, known in stored["commands"].items() if full.split()[0] == name for flag in known["flags"]}
    return flags | (
        {flag for recipe in stored["recipes"].values() for flag in recipe["flags"]} if name == "estimate" else set()
    )


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A folder with the repository's recipes and data, in which a reader's own files may be written."""
    for name in ("recipes", "data", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_files(page: Path, folder: Path) -> None:
    """Write the files that a page shows: a recipe whose first line is its name, the CSV, and rows for `my.jsonl`."""
    for block in blocks(page):
        if named := re.match(r"# ([\w-]+\.(yaml|py))\n", block.text):
            (folder / named[1]).write_text(block.text, encoding="utf-8")
        if block.text.startswith("question,answer\n"):
            (folder / "my.csv").write_text(block.text, encoding="utf-8")
    rows = (ROOT / "data/chat/test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "my.jsonl").write_text("".join(rows[:30]), encoding="utf-8")
    (folder / "my-test.jsonl").write_text("".join(rows[30:40]), encoding="utf-8")


def is_ours(words: list[str]) -> bool:
    """Whether it is a command of the package; else its make target or its script must exist."""
    if words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {*words[1:]} <= {*targets}, words
    elif words[0] == "python":
        assert list(ROOT.glob(words[1])), words
    return words[0] in ("hrm-align", "accelerate")


@every_page
def test_every_command_parses(page, reader):
    write_files(page, reader)
    for command in commands(page):
        if is_ours(words := words_of(command)) and not has_placeholder(words):
            _parse(words)


@every_page
def test_every_flag_of_a_command_exists(page):
    """Of commands in a sentence and of those with placeholders, too."""
    launcher = {flag for action in launch_command_parser()._actions for flag in action.option_strings}
    for command in [*mentioned_commands(page), *commands(page)]:
        if not is_ours(words := words_of(command)):
            continue
        module = words.index("hrm_align.cli") if "hrm_align.cli" in words else 0  # of `accelerate launch --module`
        name = words[module + 1] if module or words[0] == "hrm-align" else "sft"
        flags = {word.partition("=")[0].strip("[]") for word in words if word.strip("[]").startswith("--")}
        assert name in {*COMMANDS, "COMMAND"} or name.startswith("-") or "|" in name, command
        if name in COMMANDS:
            assert flags <= known_flags(name) | {"--help"} | (launcher if words[0] == "accelerate" else set()), command


# Links and versions -----------------------------------------------------------------------------------------------


@every_page
def test_every_link_and_anchor_exists(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target
        assert DOCS not in page.parents or DOCS in file.parents, f"{target} is not on the site"


def test_every_page_is_in_the_navigation_and_in_llms_txt():
    nav = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(nav) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
    listed = re.findall(r"\]\((\S+?)\)", (ROOT / "llms.txt").read_text())
    assert {f"docs/{page}" for page in nav} - {"docs/index.md"} <= {*listed}
    assert all((ROOT / path).is_file() for path in listed)


def test_the_build_is_strict():
    """With `--quiet` mkdocs drops its warnings before it counts them: `--strict` then passes whatever is broken."""
    (build,) = re.findall(r"mkdocs build (.*)", (ROOT / "Makefile").read_text())
    assert build.split() == ["--strict"]
    assert (
        "not_found: warn" in (ROOT / "mkdocs.yml").read_text() and "anchors: warn" in (ROOT / "mkdocs.yml").read_text()
    )


def test_the_readme_fits_on_a_page_or_two():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert {"make demo", "make test"} <= {line.split("   ")[0] for line in lines}


@every_page
def test_versions_are_those_that_are_installed(page):
    if any(folder in page.parents for folder in MEASURED) or page.name == "CONTRIBUTING.md":
        return
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, stated in re.findall(
        r"\b(torch|transformers|trl|peft|accelerate|datasets|pydantic-monty) (\d+\.\d[\d.]*\d)", prose(page)
    ):
        assert stated == pinned[name], (name, stated)
    for stated in re.findall(r"Python (\d\.\d+)\+", page.read_text(encoding="utf-8")):
        assert project["requires-python"] == f">={stated}"


# Names and defaults -----------------------------------------------------------------------------------------------


def defaults_of(kind: str) -> dict[str, object]:
    """The defaults of a recipe's dataclasses, by key; a factory's result where a field has one."""
    found = {}
    for part in recipe_kind(kind).schema:
        for field in fields(part):
            has_factory = callable(field.default_factory)
            found[field.name] = field.default_factory() if has_factory else field.default
    return found


def shown(value: object) -> str:
    """A default as the pages write it."""
    if value is None or value in ([], ""):
        return "unset"
    text = " ".join(value) if isinstance(value, list) else str(getattr(value, "value", value))
    return f"`{text.lower() if isinstance(value, bool) else text}`"


# Headings of settings.md over the settings of one kind of recipe.
OF_ONE_KIND = {
    "Preferences between pairs": "dpo",
    "Labelled answers": "kto",
    "Distillation": "distill",
    "Reward models": "reward",
    "Rewards": "grpo",
    "Reinforcement learning": "grpo",
}


@pytest.mark.parametrize("page", [GENERATED / "settings.md", GENERATED / "settings-upstream.md"], ids=entry_name)
def test_the_defaults_on_the_pages_are_those_of_the_dataclasses(page):
    defaults = {kind: defaults_of(kind) for kind in KINDS}
    compared = 0
    for heading, cells in setting_tables(page):
        name = cells[0].strip("`")
        if heading in ("Settings that are refused", "Names that have changed"):
            continue
        if page.name == "settings.md":
            named = [
                kind for kind in KINDS if heading.endswith(f"`hrm-align {kind}`") or kind == OF_ONE_KIND.get(heading)
            ]
            stated = {named[0] if named else "sft": cells[2]}
        else:
            stated = {kind: cell for kind, cell in zip(KINDS, cells[2:-1], strict=True) if cell}
        for kind, default in stated.items():
            assert default == shown(defaults[kind][name]), (heading, name, default)
            compared += 1
    assert compared > 100


@written_pages
def test_settings_in_tables_exist(page):
    known = {name for kind in KINDS for name in recipe_kind(kind).keys}
    for _, cells in setting_tables(page):
        for text in re.findall(r"`([^`]+)`", cells[0]):
            assert text.partition(":")[0] in known, text


@cache
def names_in_the_code() -> set[str]:
    """Words of the package, the recipes, the scripts, the tests and the build files."""
    found: set[str] = {CACHE}
    for folder in ("hrm_align", "recipes", "scripts", "tests", "data"):
        for file in (ROOT / folder).rglob("*.*"):
            if file.suffix in (".py", ".yaml", ".sh", ".json", ".jinja") and file.stat().st_size < 2_000_000:
                found |= {*re.findall(r"\w+", file.read_text(encoding="utf-8"))}
    for file in ("pyproject.toml", "constraints.txt", "Makefile"):
        found |= {*re.findall(r"\w+", (ROOT / file).read_text())}
    for kind in KINDS:
        found |= recipe_kind(kind).keys
    return found


@every_page
def test_names_in_backticks_exist(page):
    """Files of the repository, modules, settings, flags, metrics, columns: what has a `_`, a `/` or a `--` in it."""
    for text in in_backticks(page):
        if re.fullmatch(r"(docs|recipes|scripts|tests|data|hrm_align)/[\w./-]+", text) and not text.startswith(
            "data/my"
        ):
            assert (ROOT / text).exists(), text
        elif re.fullmatch(r"hrm_align(\.\w+)+", text):
            module, _, name = text.rpartition(".")
            assert hasattr(import_module(module), name) or import_module(text), text
        elif re.fullmatch(r"(--)?[a-z]+(_[a-z0-9]+)+", text):
            assert text.lstrip("-") in names_in_the_code() or text.startswith("eval_"), text
        elif re.fullmatch(r"[a-z_]+/[a-z_/]+", text) and page.parent.name == "reference":
            parts = {re.sub(r"_(max|mean)$", "", part) for part in text.split("/")}  # of a difference, both are logged
            assert parts <= names_in_the_code(), text


def test_files_on_the_page_of_run_files_are_written_by_the_code():
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "hrm_align").rglob("*.py"))
    for text in in_backticks(GENERATED / "run-files.md"):
        if re.search(r"\.(json|jsonl|yaml|pt|safetensors)$", text):
            name = Path(text).name
            assert name in source or (name.startswith("quarantine_") and "quarantine_{name}.jsonl" in source), text


@every_page
def test_examples_in_yaml_and_python_name_what_exists(page):
    for block in blocks(page):
        if block.kind == "yaml":
            keys = yaml.safe_load(block.text)
            assert {*keys} <= {name for kind in KINDS for name in recipe_kind(kind).keys}
        elif block.kind == "python" and GENERATED not in page.parents:
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom):
                    module = import_module(str(node.module))
                    assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


# Readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "page", "answer"), TASKS, ids=[task for task, _, _ in TASKS])
def test_a_reader_finds_the_answer_in_two_clicks(task, page, answer):
    first = linked_pages(README)
    assert (ROOT / page) in first | {second for file in first for second in linked_pages(file)}
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [words for words in answer if words not in text] == []


@pytest.mark.parametrize("page", [page for page in WRITTEN if "upstream" not in page.parts], ids=entry_name)
def test_pages_hold_no_path_of_a_machine(page):
    """Their words: tests/test_words.py."""
    if page.name != "CONTRIBUTING.md":  # which says where a temporary file goes
        assert not re.search(r"(?<![\w.])/(tmp|work|root|home)/", page.read_text(encoding="utf-8"))
