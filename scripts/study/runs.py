"""Train an arm with several seeds, with the trainer of the `sft` command, and score each run on held-out rows."""

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
from hrm_align.rendering import get_renderer
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import SFTArguments
from study.records import Records
from study.settings import Setting, count_documents

WARMUP_STEPS = 20


def make_trainer(
    model: HrmTextForCausalLM | PeftModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Dataset,
    steps: int,
    seed: int = 0,
    kind: type[SFTTrainer] = SFTTrainer,
    callbacks: Sequence[TrainerCallback] = (),
    **keys: Any,
) -> SFTTrainer:
    """Return a trainer that prints nothing; `keys` override its settings."""
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
    """Return the mean loss of a response token, token accuracy, exact match and first-token entropy on held-out rows.

    Exact match needs one forward and no decoding: greedy decoding writes the reference exactly if each reference token is the
    argmax after the tokens before it.
    """
    collate = PaddedCollator(get_renderer(tokenizer).pad_id)
    model.eval()
    loss = tokens = correct_tokens = correct_answers = entropy = 0.0
    by_length = rows.sort("length")
    for first in range(0, len(rows), 50):
        batch = collate([by_length[i] for i in range(first, min(first + 50, len(rows)))])
        labels = batch.pop("labels")[:, 1:]  # (batch, seq - 1)
        logits = model(**batch, use_cache=False).logits[:, :-1].float()  # (batch, seq - 1, vocab), aligned with labels
        trained = labels != IGNORED
        # Log-probabilities (batch, vocab) at the first response token of each row.
        first_logprobs = logits[torch.arange(len(labels)), trained.int().argmax(dim=1)].log_softmax(dim=-1)
        entropy -= (first_logprobs.exp() * first_logprobs).sum().item()
        correct = (logits.argmax(dim=-1) == labels) | ~trained
        loss += nn.functional.cross_entropy(logits[trained], labels[trained], reduction="sum").item()
        tokens += trained.sum().item()
        correct_tokens += (correct & trained).sum().item()
        correct_answers += correct.all(dim=1).sum().item()
    return {
        "loss": loss / tokens,
        "token_accuracy": correct_tokens / tokens,
        "exact_match": correct_answers / len(rows),
        "first_token_entropy": entropy / len(rows),
        "n": len(rows),
    }


@dataclass
class Study:
    """The records, tokenizer, settings, seeds and steps that all parts of a study share."""

    records: Records
    tokenizer: PreTrainedTokenizerFast
    settings: list[Setting]
    seeds: int
    steps: int

    def runs(self, setting: Setting, keys: dict[str, Any], steps: int = 0, rate: float = 0.0) -> list[dict[str, Any]]:
        """Train and score one arm with each seed. Returns one result for each seed."""
        steps, rate = steps or self.steps, rate or setting.rate
        results = []
        for seed in range(self.seeds):
            key = {"run": setting.name, "source": setting.source, "keys": keys, "steps": steps, "rate": rate}
            key["seed"] = seed
            train = partial(self.train, setting, keys | {"learning_rate": rate}, steps, seed)
            results.append(self.records.measured(key, train))
        return results

    def train(self, setting: Setting, keys: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
        """Train and score one seed. A subclass overrides this method if an arm needs more than trainer settings."""
        model = setting.start(seed)
        make_trainer(model, self.tokenizer, setting.rows(seed, count_documents(steps)), steps, seed, **keys).train()
        return score(model, self.tokenizer, setting.held_out)

    def before(self, setting: Setting) -> dict[str, Any]:
        """Return the score before training."""
        key = {"before": setting.name, "source": setting.source}
        return self.records.measured(key, lambda: score(setting.start(0), self.tokenizer, setting.held_out))
