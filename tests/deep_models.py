"""Test models with the depth of the published model and a 24th of its width, for rounding at the depth that users run.

Two correct ways to compute one model give results that differ by rounding. The difference grows with the depth of the recurrence
and hardly with its width, so `tiny`, with one layer a stack, cannot justify a tolerance. These two models have HRM-Text-1B's 16
layers a stack and 2 x 4 stack passes, at a hidden size of 64:

    save_random(folder)   seeded random weights, the worst case: a perturbation grows 83-fold in the eight passes
    TRAINED               the same after 320 steps on the shipped chat and JSON rows (scripts/make_deep_model.py): 1.4-fold
"""

from pathlib import Path

import torch
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align import load_tokenizer
from hrm_align.models.loading import resolve

LAYERS_A_STACK = 16
HIDDEN, HEADS, INTERMEDIATE = 64, 2, 160  # the smallest that shows the published depth's rounding; 128 shows no more
TRAINED = Path(__file__).parent / "golden/deep"
SEED = 0


def deep_config() -> HrmTextConfig:
    """Return the tiny base's config with the published depth: 16 layers a stack, H 2 x L 3 cycles."""
    config = HrmTextConfig.from_pretrained(resolve("tiny"))
    passes = config.H_cycles * (config.L_cycles + 1)
    shape = {
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "head_dim": HIDDEN // HEADS,
        "intermediate_size": INTERMEDIATE,
        "num_layers_per_stack": LAYERS_A_STACK,
        "num_hidden_layers": passes * LAYERS_A_STACK,
        "embedding_scale": HIDDEN**0.5,
        "initializer_range": HIDDEN**-0.5,
    }
    return HrmTextConfig(**{**config.to_dict(), **shape})


def save_random(folder: Path, seed: int = SEED) -> Path:
    """Write a float32 checkpoint of random weights with the tiny base's tokenizer into `folder`, and return it.

    `z_L_init` is drawn as in the official code; Transformers leaves it at zero.
    """
    torch.manual_seed(seed)
    model = HrmTextForCausalLM(deep_config())
    torch.nn.init.trunc_normal_(model.model.z_L_init, std=1.0, a=-2.0, b=2.0)
    model.save_pretrained(folder)
    load_tokenizer("tiny").save_pretrained(folder)
    return folder
