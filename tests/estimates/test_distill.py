"""What `hrm-align estimate` says of distillation, against what autograd keeps of an update, and the teacher that is held."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import HrmTextConfig

import recipes.distill
from hrm_align.estimates.activations import DIVERGENCE, TOP_DIVERGENCE, head_temporaries
from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.trainers.distillation import DistillationTrainer
from hrm_align.trainers.teachers import top_divergence_in_chunks, whole_divergence
from tests.estimates.told import estimate, kept_by_autograd, peak_of, size_without_weights
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
    "flags",
    [pytest.param((), marks=pytest.mark.campaign), ("--use_peft", "true", "--attn_implementation", "sdpa")],
    ids=["a copy", "its base"],
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


@pytest.mark.parametrize("kind", [DIVERGENCE, TOP_DIVERGENCE])
def test_the_head_takes_what_its_loss_takes(kind):
    """Of 3,000 logits, 500 tokens; TRL's two tiles have 32,768 columns, of which the others never become resident memory."""
    vocab, hidden, tokens = 3000, 48, 500
    config = HrmTextConfig(hidden_size=hidden, vocab_size=vocab, num_layers_per_stack=1, num_hidden_layers=8)
    with FakeTensorMode():
        told = head_temporaries(config, torch.float32, half=False, is_trained=True, kind=kind)[0].at(tokens)
    weight, states = torch.randn(vocab, hidden, requires_grad=True), torch.randn(tokens, hidden, requires_grad=True)
    other, top = torch.randn(tokens, hidden), (torch.arange(20).repeat(tokens, 1), torch.full((tokens, 20), -4.0))

    def work():
        if kind == DIVERGENCE:
            whole_divergence(states, weight, other, weight.detach(), 0.5, 1.0)[0].sum().backward()
        else:
            top_divergence_in_chunks(states, weight, *top, 0.5)[0].sum().backward()

    unused = 2 * 4 * tokens * (32768 - vocab) if kind == DIVERGENCE else 0
    assert told == pytest.approx(peak_of(work) - unused, rel=0.15)
