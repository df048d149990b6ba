"""TRL's own trainers, unmodified: every forward has the logits of an independently drawn mask.

The rate is 0, so all forwards of a run, also those of reference models and samplers, see the same weights.
"""

import math

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import HrmTextModel
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from hrm_align.models.loading import load_model_and_tokenizer
from tests.parity.reference import reference_logits, unpatched

# Logits, of up to 20. Noise seen: 9e-6; a causal prompt moves them by 1 and more.
TOLERANCE = 2e-4
COMMON = {"report_to": "none", "learning_rate": 0.0, "max_steps": 1, "save_strategy": "no", "bf16": False,
          "per_device_train_batch_size": 4, "use_cpu": True, "logging_steps": 1, "disable_tqdm": True}  # fmt: skip


def user(text):
    return [{"role": "user", "content": text}]


def assistant(text):
    return [{"role": "assistant", "content": text}]


@pytest.fixture
def tiny():
    return load_model_and_tokenizer("tiny")


@pytest.fixture
def forwards(monkeypatch):
    """Every prompt-reading call of any backbone: (ids, hidden states) of each document."""
    seen, patched = [], HrmTextModel.forward

    def record(self, input_ids=None, attention_mask=None, **kwargs):
        output = patched(self, input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        if input_ids.shape[1] > 1:
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            for ids, keep, hidden in zip(input_ids, mask, output.last_hidden_state.detach(), strict=True):
                ids, hidden = ids[keep == 1], hidden[keep == 1]
                starts = (ids == 6).nonzero().flatten().tolist()  # single turns: one <|im_start|> a document
                for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
                    seen.append((ids[start:end], hidden[start:end]))
        return output

    monkeypatch.setattr(HrmTextModel, "forward", record)
    return seen


def worst(forwards, model):
    """Largest distance between a logit the trainer saw and the reference."""
    distances = [0.0]
    for ids, hidden in forwards:
        with torch.no_grad():
            logits = model.lm_head(hidden)
        distances.append((logits - reference_logits(model, ids)).abs().max().item())
    print(f"{len(forwards)} documents, largest distance {max(distances):.1e}")
    return max(distances)


PAIRS = [("Add 2 and 3.", "5"), ("Write pig backwards.", "gip"), ("Copy: fox", "fox"), ("What is 9 minus 4?", "5")]


@pytest.mark.numeric
def test_stock_sft(tiny, forwards, tmp_path):
    model, tokenizer = tiny
    rows = [{"prompt": user(p), "completion": assistant(a)} for p, a in PAIRS]
    args = SFTConfig(str(tmp_path), **COMMON)
    SFTTrainer(model, args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer).train()
    assert len(forwards) == 4 and worst(forwards, model) < TOLERANCE


@pytest.mark.numeric
def test_stock_sft_packed_by_trl(tiny, forwards, tmp_path):
    model, tokenizer = tiny
    rows = Dataset.from_list([{"prompt": user(p), "completion": assistant(a)} for p, a in PAIRS])
    args = SFTConfig(str(tmp_path), packing=True, max_length=48, **COMMON)
    SFTTrainer(model, args, train_dataset=rows, processing_class=tokenizer).train()
    assert len(forwards) == 4 and worst(forwards, model) < TOLERANCE


@pytest.mark.numeric
@pytest.mark.parametrize("peft", [False, True], ids=["reference_by_path", "reference_by_adapter_off"])
def test_stock_dpo(tiny, forwards, tmp_path, peft):
    model, tokenizer = tiny
    rows = [{"prompt": user(p), "chosen": assistant(a), "rejected": assistant("no " + a)} for p, a in PAIRS]
    trainer = DPOTrainer(
        model,
        args=DPOConfig(str(tmp_path), **COMMON),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj"]) if peft else None,
    )
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-5), "policy and reference agree"
    assert len(forwards) >= 16 and worst(forwards, load_model_and_tokenizer("tiny")[0]) < TOLERANCE


@pytest.mark.numeric
def test_stock_grpo(tiny, forwards, tmp_path):
    model, tokenizer = tiny
    args = GRPOConfig(str(tmp_path), num_generations=4, max_completion_length=6, beta=0.1, **COMMON)
    GRPOTrainer(
        model,
        reward_funcs=lambda completions, **_: [float(len(c[0]["content"])) for c in completions],
        args=args,
        train_dataset=Dataset.from_list([{"prompt": user(p)} for p, _ in PAIRS]),
        processing_class=tokenizer,
    ).train()
    # the prompts of the rollout, then policy and reference on prompt and completion
    assert len(forwards) >= 12 and worst(forwards, model) < TOLERANCE


@pytest.mark.numeric
def test_without_the_seam_the_stock_trainer_is_wrong(tiny, tmp_path, monkeypatch):
    model, tokenizer = tiny
    rows = Dataset.from_list([{"prompt": user(p), "completion": assistant(a)} for p, a in PAIRS])
    losses = {}
    for name in ("with", "without"):
        trainer = SFTTrainer(model, SFTConfig(str(tmp_path / name), **COMMON), train_dataset=rows, processing_class=tokenizer)  # fmt: skip
        if name == "with":
            trainer.train()
        else:
            with unpatched():
                trainer.train()
        losses[name] = trainer.state.log_history[0]["loss"]
    assert abs(losses["with"] - losses["without"]) > 1e-2
