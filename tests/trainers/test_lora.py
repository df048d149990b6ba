"""Adapters through the recipe: what is trained, what is saved, and that stock PEFT gives the model that was trained."""

import json

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.errors import UserError
from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.loading import load_model_and_tokenizer, resolve
from hrm_align.rendering import get_renderer
from tests.trainers.recipe_runs import metrics, sft, write_rows

PAIRS = [("the fox is red", "red"), ("two and two", "four it is"), ("copy sun", "sun"), ("where", "here or there")] * 4
QUICK = ("--use_peft", "true", "--lora_r", "4", "--max_steps", "4", "--per_device_train_batch_size", "4",
         "--learning_rate", "1e-2", "--save_strategy", "no", "--logging_steps", "1")  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = [{"prompt": f"{prompt} {n}", "response": answer} for n, (prompt, answer) in enumerate(PAIRS)]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


def adapter_of(folder):
    return load_file(folder / "adapter_model.safetensors")


def scored(model, rows):
    """Logits of every row, without a cache."""
    _, tokenizer = load_model_and_tokenizer("tiny")
    examples = load_examples([DatasetSpec(path=str(rows))])[0]
    documents = [get_renderer(tokenizer).document(e.messages, e.answer, e.condition) for e in examples]
    with torch.no_grad():
        return [model(torch.tensor([d.input_ids]), use_cache=False).logits[0] for d in documents]


def stock(folder):
    """The adapter on its base as users without this package's loaders have it; the mask comes from the import."""
    base = AutoModelForCausalLM.from_pretrained(resolve("tiny"))
    return PeftModel.from_pretrained(base, str(folder)).eval()


VARIANTS = {
    "stacks": (),
    "per application": ("--lora_scaling", "per_application", "--lora_alpha", "8"),
    "head": ("--lora_target_modules", "all"),
    "rslora": ("--use_rslora", "true"),
    "rslora per application": ("--use_rslora", "true", "--lora_scaling", "per_application"),
    "dora": ("--use_dora", "true"),
    "gaussian": ("--init_lora_weights", "gaussian"),
    "orthogonal": ("--init_lora_weights", "orthogonal"),
    "olora": ("--init_lora_weights", "olora"),
    "pissa": ("--init_lora_weights", "pissa"),
    "tokens": ("--trainable_tokens", "<think>", "</think>"),
}
# Whose parts other variants have, or whose start PEFT draws without a change of the base.
RARE = ("stacks", "per application", "rslora", "gaussian", "orthogonal", "olora")


@pytest.fixture(scope="module")
def untrained(rows):
    """The loss of the base."""
    return loss_of(scored(load_model_and_tokenizer("tiny")[0], rows), rows)


@pytest.mark.numeric
@pytest.mark.parametrize(
    "flags",
    [pytest.param(flags, id=name, marks=[pytest.mark.campaign] * (name in RARE)) for name, flags in VARIANTS.items()],
)
def test_stock_peft_gives_the_model_that_was_trained(flags, rows, untrained, tmp_path):
    """The loss that the last step of the recipe would see next is the loss of the loaded adapter."""
    held_out = ("--eval_datasets", str(rows), "--eval_strategy", "steps", "--eval_steps", "4",
                "--per_device_eval_batch_size", "16")  # fmt: skip
    sft(tmp_path / "run", rows, *QUICK, *held_out, *flags)
    (told,) = [record["eval_loss"] for record in metrics(tmp_path / "run") if "eval_loss" in record]
    logits = scored(stock(tmp_path / "run"), rows)
    # Noise seen: 5e-7; without the adapter it is off by more than 0.01.
    assert loss_of(logits, rows) == pytest.approx(told, abs=2e-5)
    assert abs(untrained - told) > 0.01, "something was learnt"
    ours, _ = load_adapted("tiny", {"run": open_adapter(str(tmp_path / "run"))})
    assert all(torch.equal(a, b) for a, b in zip(scored(ours, rows), logits, strict=True))


def loss_of(logits, rows):
    _, tokenizer = load_model_and_tokenizer("tiny")
    losses = []
    for scores, example in zip(logits, load_examples([DatasetSpec(path=str(rows))])[0], strict=True):
        document = get_renderer(tokenizer).document(example.messages, example.answer, example.condition)
        labels = torch.tensor(document.input_ids[document.prefix_length :])
        losses.append(
            torch.nn.functional.cross_entropy(scores[document.prefix_length - 1 : -1], labels, reduction="none")
        )
    return torch.cat(losses).mean().item()


def test_the_base_stays_as_it_is_and_the_adapter_says_what_it_was_trained_on(rows, tmp_path):
    sft(tmp_path / "run", rows, *QUICK, "--lora_target_modules", "all")
    names = adapter_of(tmp_path / "run")
    assert all("lora_" in name for name in names), "nothing of the base is in the file, z_L_init least of all"
    assert all(tensor.abs().max() > 0 for tensor in names.values()), "every B has left zero, the head's too"
    record = json.loads((tmp_path / "run/hrm_adapter.json").read_text())
    assert (record["base"], record["H_cycles"], record["L_cycles"]) == ("tiny", 2, 3)
    config = json.loads((tmp_path / "run/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny", "no folder of this machine"
    assert not (tmp_path / "run/README.md").exists()
    assert not (tmp_path / "run/model.safetensors").exists()


@pytest.mark.numeric
def test_the_scale_is_divided_by_the_number_of_applications(rows, tmp_path):
    flags = ("--lora_scaling", "per_application", "--lora_alpha", "12", "--lora_target_modules", "all")
    sft(tmp_path / "run", rows, *QUICK, *flags)
    model = stock(tmp_path / "run").get_base_model()
    scale = {name: module.scaling["default"] for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    assert len(scale) == 17
    for name, value in scale.items():
        assert value == pytest.approx(12 / 4 / (6 if "L_module" in name else 2 if "H_module" in name else 1))


@pytest.mark.numeric
def test_a_group_of_modules_has_its_own_learning_rate(rows, tmp_path):
    """At rate 0 a group stays; the others learn."""
    rates = '{"high": 0, "head": 1e-3}'
    sft(tmp_path / "run", rows, *QUICK, "--lora_target_modules", "all", "--module_learning_rates", rates)
    moved = {
        name: tensor.abs().max().item() > 0 for name, tensor in adapter_of(tmp_path / "run").items() if "lora_B" in name
    }
    assert all(value == ("H_module" not in name) for name, value in moved.items())
    sft(tmp_path / "one", rows, *QUICK, "--lora_target_modules", "all", "--max_steps", "1", "--warmup_steps", "0",
        "--module_learning_rates", rates)  # fmt: skip
    head, low = (
        adapter_of(tmp_path / "one")[f"base_model.model.{layer}.lora_B.weight"].abs().max().item()
        for layer in ("lm_head", "model.L_module.layers.0.mlp.up_proj")
    )
    assert (head, low) == (pytest.approx(1e-3, rel=0.01), pytest.approx(1e-2, rel=0.01)), (
        "AdamW's first step is the rate"
    )


def test_only_the_named_tokens_are_trained(rows, tmp_path):
    """The row of a token that the answers hold moves; a row that is not named stays that of the base."""
    answers = write_rows(tmp_path / "s.jsonl", [{"prompt": f"say {n}", "response": "s"} for n in range(8)])
    _, tokenizer = load_model_and_tokenizer("tiny")
    sft(tmp_path / "run", answers, *QUICK, "--trainable_tokens", "s", "<think>")
    model = stock(tmp_path / "run").merge_and_unload()
    base, _ = load_model_and_tokenizer("tiny")
    changed = (model.lm_head.weight - base.lm_head.weight).abs().amax(dim=1).nonzero().flatten().tolist()
    assert set(changed) == {tokenizer.convert_tokens_to_ids("s"), tokenizer.convert_tokens_to_ids("<think>")}


def test_the_adapter_has_the_precision_that_was_asked_for(rows, tmp_path):
    sft(tmp_path / "run", rows, *QUICK, "--lora_dtype", "bfloat16")
    assert {tensor.dtype for tensor in adapter_of(tmp_path / "run").values()} == {torch.bfloat16}


def test_a_frozen_base_in_half_precision_carries_an_adapter_in_float32(rows, tmp_path):
    sft(tmp_path / "run", rows, *QUICK, "--dtype", "bfloat16", "--lora_target_modules", "all")
    tensors = adapter_of(tmp_path / "run")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert all(tensor.abs().max() > 0 for tensor in tensors.values())
    losses = [record["loss"] for record in metrics(tmp_path / "run") if "loss" in record]
    assert losses[-1] < losses[0]
    # Its base is the published one, whatever precision it was loaded in.
    load_adapted("tiny", {"run": open_adapter(str(tmp_path / "run"))})


def test_a_resumed_adapter_is_that_of_the_uninterrupted_run(rows, tmp_path):
    flags = (*QUICK, "--max_steps", "8", "--lora_target_modules", "all", "--lora_dropout", "0.1",
             "--module_learning_rates", '{"head": 1e-3}', "--save_strategy", "steps", "--save_steps", "3")  # fmt: skip
    sft(tmp_path / "whole", rows, *flags)
    sft(tmp_path / "run", rows, *flags, "--resume_from_checkpoint", str(tmp_path / "whole/checkpoint-3"))
    whole, resumed = (adapter_of(tmp_path / name) for name in ("whole", "run"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert (tmp_path / "whole/checkpoint-3/hrm_adapter.json").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--lora_target_modules", "gate_proj"], "Use mlp.gate_proj or self_attn.gate_proj"),
        (["--lora_target_modules", "lows"], "did you mean low?"),
        (["--use_dora", "true", "--lora_target_modules", "all"], "use_dora cannot adapt the head"),
        (["--trainable_tokens", "<tool>"], "'<tool>' is no token of this tokenizer"),
        (["--trainable_tokens", "<|endoftext|>"], "is the padding token"),
        (["--load_in_4bit", "true"], "need bitsandbytes and a GPU"),
        (["--module_learning_rates", '{"heads": 1e-3}'], "module_learning_rates: 'heads'. Use "),
        (["--module_learning_rates", '{"head": "fast"}'], "invalid value for module_learning_rates.head.: 'fast'"),
        (["--module_learning_rates", "{head"], "module_learning_rates"),
    ],
)
def test_an_adapter_that_cannot_be_is_one_sentence(flags, said, rows, tmp_path):
    with pytest.raises(UserError, match=said):
        sft(tmp_path / "run", rows, *QUICK, *flags)


@pytest.mark.campaign
def test_a_destructive_setting_raises_the_alarm_before_half_of_the_run(tmp_path):
    """alpha = 4r on both stacks at a high rate; the recommended setting raises no alarm in twice as many steps."""
    data = ("--max_steps", "40", "--logging_steps", "1", "--packing", "true", "--max_length", "256",
            "--per_device_train_batch_size", "2", "--save_strategy", "no", "--lr_scheduler_type", "constant")  # fmt: skip
    chat = "data/chat/train.jsonl"
    sft(tmp_path / "bad", chat, *data, "--max_steps", "20", "--use_peft", "true", "--lora_r", "8", "--lora_alpha", "32",
        "--learning_rate", "3e-2")  # fmt: skip
    (first, *_) = (tmp_path / "bad/run/alarms.jsonl").read_text().splitlines()
    step = int(json.loads(first)["alarm"].split(":")[0].removeprefix("step "))
    assert step < 20
    sft(tmp_path / "good", chat, *data, "--use_peft", "true", "--lora_r", "8", "--learning_rate", "1e-3")
    assert not (tmp_path / "good/run/alarms.jsonl").exists()
