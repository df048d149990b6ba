"""Make an HRM-Text checkpoint with random bfloat16 weights and the embedded base's tokenizer.

    python scripts/campaigns/random_checkpoint.py DIR [--shape published|small] [--seed 0]

`published` is the shape of HRM-Text-1B, 1,182,795,264 parameters in 2.4 GB. Prints the number of parameters.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align.models.loading import resolve

SHAPES: dict[str, dict[str, int]] = {
    "published": {
        "hidden_size": 1536, "head_dim": 128, "num_attention_heads": 12, "intermediate_size": 4096,
        "vocab_size": 65_536, "num_layers_per_stack": 16, "max_position_embeddings": 4096,
    },
    "small": {
        "hidden_size": 256, "head_dim": 64, "num_attention_heads": 4, "intermediate_size": 768,
        "vocab_size": 4096, "num_layers_per_stack": 4, "max_position_embeddings": 1024,
    },
}  # fmt: skip
PASSES = 8  # stack passes; num_hidden_layers counts a layer once for each pass
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def make(folder: Path, shape: str, seed: int = 0) -> int:
    """Write the checkpoint. Returns its number of parameters."""
    tiny = Path(resolve("tiny"))
    config: dict[str, Any] = json.loads((tiny / "config.json").read_text())
    for name in ("architectures", "model_type", "transformers_version"):
        del config[name]
    config |= SHAPES[shape]
    hidden = SHAPES[shape]["hidden_size"]
    config["num_hidden_layers"] = PASSES * SHAPES[shape]["num_layers_per_stack"]
    config |= {"embedding_scale": hidden**0.5, "initializer_range": hidden**-0.5, "dtype": "bfloat16"}
    config["use_cache"] = True  # the tiny base's false would also be that of generation_config.json
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.bfloat16)
    model: Any = HrmTextForCausalLM(HrmTextConfig(**config))
    torch.set_default_dtype(torch.float32)
    start = torch.empty(
        model.model.z_L_init.shape
    )  # Transformers initialises z_L_init with zeros; a trained model has other values
    model.model.z_L_init.data = torch.nn.init.trunc_normal_(start, std=1.0, a=-2.0, b=2.0).to(torch.bfloat16)
    model.save_pretrained(folder)
    for name in TOKENIZER:
        if (tiny / name).exists():
            shutil.copy(tiny / name, folder / name)
    return sum(weight.numel() for weight in model.parameters())


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="new folder")
    parser.add_argument("--shape", choices=SHAPES, default="published")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    print(f"{make(arguments.folder, arguments.shape, arguments.seed):,} parameters")


if __name__ == "__main__":
    main(sys.argv[1:])
