"""Every shipped YAML is read strictly, says only what differs, and fits the columns of its data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from hrm_align.commands.recipes import describe
from hrm_align.config.parser import parse, resolved
from hrm_align.config.rules import recipe_kind
from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.data.examples import Example
from hrm_align.estimates.model import Recipe
from hrm_align.rewards.preflight import preflight
from hrm_align.rewards.suite import RewardSpec, RewardSuite

ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).parent / "fixtures"
SETTINGS = (ROOT / "recipes").glob("*/*.yaml")
RECIPES = sorted(
    path.relative_to(ROOT).as_posix() for path in SETTINGS if path.parent.name not in ("accelerate", "launch")
)
LAUNCHERS = sorted((ROOT / "recipes/accelerate").glob("*.yaml"))


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


LOADED: dict[str, list[Example]] = {}
ROWS = {"dpo": "pairs", "kto": "labels", "reward": "pairs"}  # kinds of rows, where they are not answers


def kind_of(recipe: str) -> str:
    """The command that runs a recipe, by the name of its file: every other stage is named for its task or its adapter."""
    return next((kind for kind in ("grpo", "distill", *ROWS) if kind in Path(recipe).stem), "sft")


def is_grpo(recipe: str) -> bool:
    return kind_of(recipe) == "grpo"


def parsed(recipe: str) -> Recipe:
    return parse(recipe_kind(kind_of(recipe)), ["--config", recipe])


def offline(specs: list[DatasetSpec]) -> list[DatasetSpec]:
    """The same data sets with the files of `fixtures` in place of the Hub's."""
    return [
        spec
        if Path(spec.path).exists()
        else replace(spec, path=str(FIXTURES / f"{spec.path.replace('/', '--')}.jsonl"), split="train", name=None)
        for spec in specs
    ]


def build_examples(recipe: Recipe, specs: list[DatasetSpec]) -> list[Example]:
    """Load the rows, once for all recipes that read them in the same way."""
    kind, condition = ROWS.get(recipe.KIND, "answers"), recipe.data.condition
    key = repr((offline(specs), condition, kind))
    if key not in LOADED:
        LOADED[key] = load_examples(offline(specs), default_condition=condition, kind=kind)[0]
    return LOADED[key]


def test_there_are_recipes_to_test() -> None:
    assert {Path(recipe).parent.name for recipe in RECIPES} >= {
        "tiny",
        "chat",
        "math",
        "code",
        "sql",
        "lookup",
        "format",
    }
    assert {recipe for recipe in RECIPES if is_grpo(recipe)} == {
        f"recipes/{name}.yaml"
        for task in ("format", "math", "sql", "code")
        for name in (f"{task}/grpo", f"tiny/{task}_grpo")
    }
    assert {Path(recipe).stem for recipe in RECIPES if "tiny" in recipe} >= {
        "sft",
        "sql",
        "extraction",
        "code",
        "lookup",
    }
    assert len(LAUNCHERS) == 6


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_states_only_what_differs_from_the_defaults(recipe: str) -> None:
    given = ["--model_name_or_path", "tiny", "--datasets", "a.jsonl", "--output_dir", "x", "--use_peft", "true"]
    needed = {"grpo": ["--rewards", "math"], "distill": ["--teacher_model_name_or_path", "x"]}
    plain = parse(recipe_kind(kind_of(recipe)), [*given, *needed.get(kind_of(recipe), [])])
    defaults = resolved(plain) | {"use_peft": False}
    stated = yaml.safe_load(Path(recipe).read_text(encoding="utf-8"))
    values = resolved(parsed(recipe))
    required = {"model_name_or_path", "datasets", "output_dir", "rewards", "num_generations"}
    assert [key for key in stated if values[key] == defaults[key] and key not in required] == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_command_of_a_recipe_is_found_by_its_file(recipe: str) -> None:
    assert describe(Path(recipe))["command"] == kind_of(recipe)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_opens_with_the_command_that_runs_it(recipe: str) -> None:
    assert f"--config {recipe}\n" in Path(recipe).read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if "tiny" not in recipe and kind_of(recipe) == "sft"])
def test_a_step_of_a_1b_recipe_has_the_tokens_of_the_official_sft(recipe: str) -> None:
    training = parsed(recipe).training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    assert training.packing and rows * training.max_length == 32768


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_row_of_a_recipes_data_becomes_an_example_under_its_condition(recipe: str) -> None:
    config = parsed(recipe)
    for specs in filter(None, (config.data.specs(), config.data.eval_specs(), config.data.guard_specs())):
        path = Path(specs[0].path)
        of_its_own = path.is_file() and "condition" in path.read_text()
        for example in build_examples(config, specs):
            assert example.messages and example.answer.content.strip()
            assert example.condition == config.data.condition or of_its_own
            assert (example.rejected is not None) == (ROWS.get(config.KIND) == "pairs")


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if is_grpo(recipe)])
def test_the_rewards_of_a_recipe_pay_right_answers_and_not_corrupted_ones(recipe: str) -> None:
    config = parsed(recipe)
    rows = build_examples(config, config.data.specs())
    with RewardSuite([RewardSpec.of(entry) for entry in config.rewards.rewards], deadline=30.0) as suite:
        report = preflight(suite, rows, limit=16)
    print(report.to_dict())
    assert report.rows and not report.failing
    assert not [form for form in report.forms.values() if form.missing or form.bare_refused]


@pytest.mark.parametrize(
    ("recipe", "prompt", "answer", "count"),
    [
        # 4 conversations, one of them with two answers
        ("recipes/chat/sft.yaml", "Name a bird that cannot fly.", "The kiwi cannot fly.", 5),
        ("recipes/math/sft.yaml", r"What is $3 \cdot 7 + 2$?", r"The answer is $\boxed{23}$.", 3),
        ("recipes/code/sft.yaml", "Write a Python function `area`", "return width * height\n```", 3),
        ("recipes/chat/dpo.yaml", "Name three fruits", "Apples, pears and cherries grow on trees.", 3),
        ("recipes/chat/dpo_orca.yaml", "Name a metal", "Mercury is liquid at room temperature.", 3),
        ("recipes/chat/dpo_hh.yaml", "How do I keep bread", "Keep it in a bread box.", 3),
        ("recipes/chat/reward.yaml", "Explain rain", "Water vapour condenses into drops that fall.", 3),
        ("recipes/math/grpo.yaml", "Mia packs 3 boxes", "#### 42", 3),
        ("recipes/sql/lora.yaml", "How many boats are longer", "FROM boat WHERE length > 12", 3),
    ],
)
def test_the_columns_of_a_hub_data_set_are_read_as_prompt_and_answer(
    recipe: str, prompt: str, answer: str, count: int
) -> None:
    config = parsed(recipe)
    examples = build_examples(config, config.data.specs())
    assert len(examples) == count
    assert examples[0].messages[-1].content.startswith(prompt)
    assert examples[0].answer.content.endswith(answer)


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_accelerate_knows_every_key_of_a_launcher(path: Path) -> None:
    config = load_config_from_file(str(path))  # raises for an unknown key
    known = {action.dest for action in launch_command_parser()._actions}
    assert set(config.fsdp_config or {}) <= known  # which accelerate itself does not check
    assert config.mixed_precision == "no"  # the recipe's bf16 decides


def test_the_layer_that_fsdp_wraps_is_the_models() -> None:
    from transformers import HrmTextForCausalLM

    config = load_config_from_file(str(ROOT / "recipes/accelerate/fsdp2.yaml"))
    assert [config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"]] == HrmTextForCausalLM._no_split_modules
