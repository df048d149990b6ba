"""Whole checkpoints are written as stock `save_pretrained` writes them, from one tensor at a time, and checked by reading."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from hrm_align.models.loading import load_model
from hrm_align.models.weight_files import differing_tensors, save_whole


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["own type", "bfloat16"])
def test_the_files_are_those_of_save_pretrained(dtype, tmp_path):
    model = load_model("tiny")
    (tmp_path / "ours").mkdir()
    save_whole(model, tmp_path / "ours", dtype)
    assert model.dtype == torch.float32 and differing_tensors(model, tmp_path / "ours", dtype) == []
    (model if dtype is None else model.to(dtype)).save_pretrained(tmp_path / "stock")
    assert files(tmp_path / "ours") == files(tmp_path / "stock")


def test_shards_are_complete_and_no_larger_than_requested(tmp_path):
    model = load_model("tiny")
    save_whole(model, tmp_path, shard="300KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1 and set(index.values()) == {shard.name for shard in shards}
    for shard in shards:
        tensors = load_file(shard)
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= 300_000
        assert all(index[name] == shard.name for name in tensors)
    stock = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(stock[name], tensor) for name, tensor in model.state_dict().items())
    assert differing_tensors(model, tmp_path) == []


def test_a_tensor_that_was_not_saved_as_it_is_is_named(tmp_path):
    model = load_model("tiny")
    save_whole(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    fused = "model.L_module.layers.0.attn.gqkv_proj.weight"
    tensors[fused][200, 3] += 1e-6  # in the third of four parts
    lost = "lm_head.weight"
    save_file({name: t for name, t in tensors.items() if name != lost}, tmp_path / "model.safetensors")
    assert differing_tensors(model, tmp_path) == [lost, fused]
