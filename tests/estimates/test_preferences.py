"""What `hrm-align estimate` says of preference training, against what autograd keeps of a step: shapes that set no constants."""

import importlib

import pytest
import torch
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import Message, get_renderer
from tests.estimates.told import estimate, kept_by_autograd, main, size_without_weights
from tests.trainers.recipe_runs import write_rows

BAR = 0.15
WORDS = ("red", "cat", "hat", "blue", "fox")  # two tokens each, with the space
TRAINERS = {"dpo": "DPOTrainer", "kto": "KTOTrainer", "reward": "RewardTrainer"}
OWN = {"dpo": "label_smoothing: 0", "kto": "desirable_weight: 1", "reward": "center_rewards_coefficient: 0.01"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = HrmTextConfig(hidden_size=96, num_layers_per_stack=2, num_hidden_layers=16, intermediate_size=160, head_dim=32,
                           num_attention_heads=3, vocab_size=640, L_bp_cycles=[0, 3], pad_token_id=5,
                           initializer_range=96**-0.5, embedding_scale=96**0.5)  # fmt: skip
    torch.manual_seed(0)
    made = HrmTextForCausalLM(config)
    made.model.z_L_init.data.normal_()
    made.save_pretrained(folder)
    load_tokenizer("tiny").save_pretrained(folder)
    return folder


def recipe(folder, model, kind, prompt, answer, rows):
    """A recipe whose documents are all of one length, each behind a prompt of its own; its file, and tokens of prompt and document."""
    made = []
    for number in range(10):
        text = " ".join([*["red"] * prompt, WORDS[number % 5], WORDS[number // 5]])
        sides = [" ".join(["red"] * answer + [word]) for word in ("cat", "fox")]
        labelled = {"completion": sides[0], "label": number % 2 == 0}
        made.append({"prompt": text, **(labelled if kind == "kto" else {"chosen": sides[0], "rejected": sides[1]})})
    data = write_rows(folder / "rows.jsonl", made)
    document = get_renderer(load_tokenizer("tiny")).document([Message("user", made[0]["prompt"])], sides[0], "direct")
    length = len(document.input_ids)
    (folder / f"{kind}.yaml").write_text(
        f"model_name_or_path: {model}\ndatasets: [{data}]\noutput_dir: {folder / 'run'}\nmax_length: {length}\nmax_steps: 1\n"
        f"per_device_train_batch_size: {rows}\n{OWN[kind]}\nhealth: false\nsave_strategy: 'no'\ndisable_tqdm: true\n"
    )
    return folder / f"{kind}.yaml", document.prefix_length, length


def trained(monkeypatch, kind, path, flags):
    """The trainer of a run, and the bytes that autograd keeps for its backward."""
    module, trainers = importlib.import_module(f"recipes.{kind}"), []
    trainer_class = getattr(module, TRAINERS[kind])
    made = trainer_class.__init__
    monkeypatch.setattr(trainer_class, "__init__", lambda own, *a, **k: (trainers.append(own), made(own, *a, **k))[1])
    with kept_by_autograd() as kept:
        module.main(["--config", str(path), *flags])
    trainer = trainers[0]
    return trainer, size_without_weights(kept, trainer.accelerator.unwrap_model(trainer.model))


SEPARATE = ("--share_prompts", "false")
SDPA = ("--attn_implementation", "sdpa")
CASES = {
    "dpo, reference computed before": ("dpo", 40, 30, (*SEPARATE, "--precompute_ref_log_probs", "true")),
    "dpo, shared prompts": ("dpo", 30, 60, ()),
    "reward, an adapter": ("reward", 40, 30, ("--use_peft", "true")),
}
RARE = {
    "kto, an adapter": ("kto", 40, 30, ("--use_peft", "true")),
    "dpo": ("dpo", 60, 50, SEPARATE),
    "reward": ("reward", 60, 50, ()),
    "dpo, shared prompts, long prompts": ("dpo", 120, 50, ()),
    "dpo, shared prompts, long answers": ("dpo", 30, 150, ()),
    "dpo, shared prompts, dense masks": ("dpo", 120, 50, SDPA),
}  # fmt: skip


@pytest.mark.parametrize("name", [*CASES, *(pytest.param(name, marks=pytest.mark.campaign) for name in RARE)])
def test_activations_are_what_autograd_keeps(name, model, tmp_path, capsys, monkeypatch):
    kind, prompt, answer, flags = (CASES | RARE)[name]
    path, prefix, length = recipe(tmp_path, model, kind, prompt, answer, rows=2)
    told = estimate(capsys, path, *flags, *(("--prompt_tokens", prefix) if "shared" in name else ()))
    trainer, kept = trained(monkeypatch, kind, path, flags)
    assert told["bytes"]["activations"] == pytest.approx(kept, rel=BAR)
    documents = 2 if kind == "kto" else 4
    assert told["tokens"] == (2 * (2 * length - prefix) if "shared" in name else documents * length)
    reference = getattr(trainer, "ref_model", None)
    held = 0 if reference is None else sum(weight.nbytes for weight in reference.parameters())
    assert told["bytes"].get("reference", 0) == held


def test_without_the_length_of_prompts_every_prompt_counts_twice(model, tmp_path, capsys):
    path, prefix, length = recipe(tmp_path, model, "dpo", 120, 50, rows=2)
    unknown, known = (estimate(capsys, path, *flags) for flags in ((), ("--prompt_tokens", prefix)))
    assert unknown["tokens"] == 4 * length and known["total"] < unknown["total"]
    for flags, words in (
        (("--prompt_tokens", str(length)), f"error: a prompt of {length} tokens (--prompt_tokens) leaves no room"),
        ((*SEPARATE, "--prompt_tokens", "9"), "this is a recipe of `hrm-align dpo` without it"),
    ):
        assert main(["estimate", "--config", str(path), *flags]) == 2
        assert words in capsys.readouterr().err
