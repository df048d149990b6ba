"""Train one arm with every seed, through the trainer that users get, and score it on held-out rows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from make_tiny_base import ROWS_A_STEP, TOKENS_A_ROW
from peft import PeftModel
from torch import nn
from transformers import HrmTextForCausalLM, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback

from hrm_align.data.packing import IGNORED, PaddedCollator
from hrm_align.rendering import renderer_of
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import SFTArguments
from study.records import Records
from study.settings import Setting, documents_for

WARMUP_STEPS = 20


def trainer_of(
    model: HrmTextForCausalLM | PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    steps: int,
    seed: int = 0,
    kind: type[SFTTrainer] = SFTTrainer,
    callbacks: Sequence[TrainerCallback] = (),
    **keys: Any,
) -> SFTTrainer:
    """The users' trainer, silent, with some keys changed."""
    settings: dict[str, Any] = {"logging_steps": 100, "warmup_steps": WARMUP_STEPS, "lr_scheduler_type": "linear"}
    arguments = SFTArguments(
        output_dir=str(Path(tempfile.gettempdir()) / "study"),  # nothing is saved
        max_steps=steps,
        per_device_train_batch_size=ROWS_A_STEP,
        packing=True,
        max_length=TOKENS_A_ROW,
        train_sampling_strategy="random",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        **{**settings, **keys},
    )
    trainer = kind(model, arguments, rows, tokenizer, callbacks=callbacks)
    trainer.pop_callback(PrinterCallback)
    return trainer


@torch.no_grad()
def score(model: HrmTextForCausalLM | PeftModel, tokenizer: PreTrainedTokenizerFast, rows: Dataset) -> dict[str, float]:
    """Mean loss a response token, token accuracy, exact match and entropy of the first token on held-out rows.

    Exact match takes one forward: if every token of the right answer is the argmax behind those before it, greedy
    decoding writes that answer, and otherwise it does not.
    """
    collate = PaddedCollator(renderer_of(tokenizer).pad_id)
    model.eval()
    loss = tokens = right_tokens = right_answers = entropy = 0.0
    by_length = rows.sort("length")
    for first in range(0, len(rows), 50):
        batch = collate([by_length[i] for i in range(first, min(first + 50, len(rows)))])
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch, use_cache=False).logits[:, :-1].float()
        trained = labels != IGNORED
        first = logits[torch.arange(len(labels)), trained.int().argmax(dim=1)].log_softmax(dim=-1)
        entropy -= (first.exp() * first).sum().item()
        right = (logits.argmax(dim=-1) == labels) | ~trained
        loss += nn.functional.cross_entropy(logits[trained], labels[trained], reduction="sum").item()
        tokens += trained.sum().item()
        right_tokens += (right & trained).sum().item()
        right_answers += right.all(dim=1).sum().item()
    return {
        "loss": loss / tokens,
        "token_accuracy": right_tokens / tokens,
        "exact_match": right_answers / len(rows),
        "first_token_entropy": entropy / len(rows),
        "n": len(rows),
    }


@dataclass
class Study:
    """What all parts of a study share."""

    records: Records
    tokenizer: PreTrainedTokenizerFast
    settings: list[Setting]
    seeds: int
    steps: int

    def runs(self, setting: Setting, keys: dict[str, Any], steps: int = 0, rate: float = 0.0) -> list[dict[str, Any]]:
        """Train and score one arm with every seed."""
        steps, rate = steps or self.steps, rate or setting.rate
        results = []
        for seed in range(self.seeds):
            key = {"run": setting.name, "source": setting.source, "keys": keys, "steps": steps, "rate": rate}
            key["seed"] = seed
            train = partial(self.train, setting, keys | {"learning_rate": rate}, steps, seed)
            results.append(self.records.measured(key, train))
        return results

    def train(self, setting: Setting, keys: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
        """Train and score one seed. Override it where an arm is more than some keys of the trainer."""
        model = setting.start(seed)
        trainer_of(model, self.tokenizer, setting.rows(seed, documents_for(steps)), steps, seed, **keys).train()
        return score(model, self.tokenizer, setting.held_out)

    def before(self, setting: Setting) -> dict[str, Any]:
        """The score before training."""
        key = {"before": setting.name, "source": setting.source}
        return self.records.measured(key, lambda: score(setting.start(0), self.tokenizer, setting.held_out))
