"""Random models of a shape, and random rows with the lengths of real fine-tuning data."""

from __future__ import annotations

import random
from typing import Any

import torch
from datasets import Dataset
from transformers import HrmTextConfig, HrmTextForCausalLM

import hrm_align  # noqa: F401  the prefix mask, for the stock arms too

END, RESPONSE_END, PAD = 7, 11, 5
SHAPES = {  # hidden size, layers a stack, MLP size, head size, vocabulary size
    "tiny": (64, 1, 128, 32, 512),
    "small": (384, 1, 1024, 64, 512),
    "1b": (1536, 16, 4096, 128, 65_536),
}


def build_config(shape: str) -> HrmTextConfig:
    """Return the config of a shape, with the official horizon."""
    hidden, layers, mlp, head, vocab = SHAPES[shape]
    return HrmTextConfig(
        hidden_size=hidden,
        num_layers_per_stack=layers,
        num_hidden_layers=8 * layers,
        intermediate_size=mlp,
        num_attention_heads=hidden // head,
        head_dim=head,
        vocab_size=vocab,
        initializer_range=hidden**-0.5,
        embedding_scale=hidden**0.5,
        L_bp_cycles=[0, 3],
        bos_token_id=6,
        eos_token_id=RESPONSE_END,
        pad_token_id=PAD,
        max_position_embeddings=4096,
    )


def random_model(shape: str, seed: int = 0) -> Any:
    """Return an HRM-Text with random float32 weights, on the GPU if there is one."""
    torch.manual_seed(seed)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model: Any = HrmTextForCausalLM(build_config(shape))
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = RESPONSE_END, PAD
    return model


def documents(count: int, longest: int, scale: float = 1.0, seed: int = 0) -> Dataset:
    """Return rows in the form of `tokenize`, with a `completion_mask` for TRL: on average 167 prompt and 329 response tokens.

    Args:
        count: number of rows.
        longest: largest length in tokens; longer rows are drawn again.
        scale: factor of all lengths, for small machines.
        seed: random seed.
    """
    rng, rows = random.Random(seed), list[dict[str, Any]]()
    while len(rows) < count:
        prompt, response = (max(2, round(scale * mean * rng.lognormvariate(-0.32, 0.8))) for mean in (167, 329))
        if prompt + response + 1 > longest:
            continue
        ids = [
            6,
            *rng.choices(range(31, 512), k=prompt - 1),
            END,
            *rng.choices(range(31, 512), k=response - 1),
            RESPONSE_END,
        ]
        mask = [0] * (prompt + 1) + [1] * response
        rows.append({"input_ids": ids, "prefix_length": prompt + 1, "completion_mask": mask, "length": len(ids)})
    return Dataset.from_list(rows)
