"""What `hrm-align estimate` says of distillation, against what autograd keeps of an update, and the teacher that is held."""

import pytest

import recipes.distill
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.trainers.distillation import DistillationTrainer
from tests.estimates.told import estimate, kept_by_autograd, size_without_weights
from tests.trainers.recipe_runs import write_rows

ROWS, ANSWER = 3, 40
TEXTS = [f"{a} plus {a}?" for a in (11, 22, 33, 44)]  # as many tokens each


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distill")
    data = write_rows(folder / "rows.jsonl", [{"prompt": text} for text in TEXTS])
    (folder / "recipe.yaml").write_text(
        f"model_name_or_path: tiny\ndatasets: [{data}]\noutput_dir: {folder / 'run'}\nteacher_condition: cot\nmax_steps: 1\n"
        f"per_device_train_batch_size: {ROWS}\nmax_completion_length: {ANSWER}\nparity_every: 0\nhealth: false\n"
        "save_strategy: 'no'\ndisable_tqdm: true\n"
    )
    return folder / "recipe.yaml"


@pytest.mark.parametrize(
    "flags", [(), ("--use_peft", "true", "--attn_implementation", "sdpa")], ids=["a copy", "its base"]
)
def test_activations_are_what_an_update_keeps_and_the_teacher_what_is_held(
    recipe, tmp_path, capsys, monkeypatch, flags
):
    """All answers are as long as they may be: at this temperature they never end."""
    renderer = get_renderer(load_model_and_tokenizer("tiny")[1])
    (prompt,) = {len(renderer.prompt(text, "direct")) for text in TEXTS}
    told = estimate(capsys, recipe, *flags, "--prompt_tokens", prompt)["bytes"]
    trainers, made = [], DistillationTrainer.__init__
    monkeypatch.setattr(
        DistillationTrainer, "__init__", lambda own, *a, **k: (trainers.append(own), made(own, *a, **k))[1]
    )
    with kept_by_autograd() as kept:
        recipes.distill.main(
            ["--config", str(recipe), "--output_dir", str(tmp_path / "run"), "--temperature", "1000", *flags]
        )
    model, teacher = (trainers[0].accelerator.unwrap_model(trainers[0].model), trainers[0].teacher_model)
    assert told["update"]["activations"] == pytest.approx(size_without_weights(kept, model), rel=0.15)
    held = 0 if teacher is None else sum(weight.nbytes for weight in teacher.parameters())
    assert told["held"]["reference"] == held


def test_a_teacher_takes_the_memory_of_its_weights_and_none_behind_a_server(recipe, capsys, tmp_path):
    model = load_model_and_tokenizer("tiny")[0]
    model.save_pretrained(tmp_path / "teacher")
    named = ("--teacher_model_name_or_path", tmp_path / "teacher")
    here = estimate(capsys, recipe, *named, "--teacher_dtype", "bfloat16")["bytes"]["held"]["reference"]
    assert here == sum(weight.numel() for weight in model.parameters()) * 2
    server = ("--teacher_base_url", "http://localhost:9/v1", "--teacher_model_name_or_path", "big")
    assert estimate(capsys, recipe, *server)["bytes"]["held"]["reference"] == 0
