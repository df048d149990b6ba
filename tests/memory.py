"""Measure the memory of a call: the peak resident memory during the call minus the resident memory before it."""

import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, HrmTextConfig, HrmTextForCausalLM

from hrm_align.models.loading import resolve

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def medium_checkpoint(folder: Path) -> Path:
    """Save random bf16 weights with 92 M parameters, nine tenths of them in the stacks, and the tiny base's tokenizer."""
    settings = {
        "vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 11,
        "num_attention_heads": 4, "head_dim": 128, "L_bp_cycles": [0, 3], "pad_token_id": 5, "bos_token_id": 6,
        "eos_token_id": 11, "max_position_embeddings": 1024,
    }  # fmt: skip
    with torch.device("meta"):
        model = HrmTextForCausalLM(HrmTextConfig(**settings)).to(torch.bfloat16)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            weight.uniform_(-0.04, 0.04)
    model.generation_config = GenerationConfig(eos_token_id=11, pad_token_id=5)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(resolve("tiny")) / name, folder)
    return folder


def size_of(folder: Path) -> int:
    """Return the bytes of a checkpoint's weights."""
    return (folder / "model.safetensors").stat().st_size


def _resident(key: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) << 10


def growth(call, *args, **kwargs) -> int:
    """Call a function and return by how many bytes the resident memory of this process rose at most."""
    CLEAR.write_text("5")  # resets the peak
    before = _resident("VmRSS")
    call(*args, **kwargs)
    return _resident("VmHWM") - before
