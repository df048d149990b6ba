"""A stand-in for the official trainer: what it saves and loads, and checkpoints to convert.

It is written from the published names, shapes and formulas (sapientinc/HRM-Text), and saves and loads through torch's
own DCP in the way of the official trainer and loader.
"""

import math
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
import yaml
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.nn import functional as F
from transformers import HrmTextConfig, HrmTextForCausalLM

from hrm_align.models.loading import load_model_and_tokenizer, resolve
from tests.parity.reference import drawn_mask

VOCABULARY, HIDDEN, HEADS, INNER, LAYERS = 512, 64, 2, 256, 2
H_CYCLES, L_CYCLES = 2, 3


class Weight(nn.Module):
    def __init__(self, *shape: int, name: str = "weight"):
        super().__init__()
        self.register_parameter(name, nn.Parameter(torch.randn(shape) / math.sqrt(shape[-1])))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn, self.mlp = nn.Module(), nn.Module()
        self.attn.gqkv_proj, self.attn.o_proj = Weight(4 * HIDDEN, HIDDEN), Weight(HIDDEN, HIDDEN)
        self.mlp.gate_up_proj, self.mlp.down_proj = Weight(2 * INNER, HIDDEN), Weight(HIDDEN, INNER)

    def forward(self, x, mask):  # (seq, hidden)
        gate, query, key, value = (F.rms_norm(x, (HIDDEN,), eps=1e-6) @ self.attn.gqkv_proj.weight.T).chunk(4, -1)
        heads = [part.view(len(x), HEADS, -1).transpose(0, 1) for part in (rotated(query), rotated(key), value)]
        read = F.scaled_dot_product_attention(*heads, attn_mask=mask).transpose(0, 1).reshape(x.shape)
        x = x + (torch.sigmoid(gate) * read) @ self.attn.o_proj.weight.T
        gate, up = (F.rms_norm(x, (HIDDEN,), eps=1e-6) @ self.mlp.gate_up_proj.weight.T).chunk(2, -1)
        return x + (F.silu(gate) * up) @ self.mlp.down_proj.weight.T


def rotated(x):
    size = HIDDEN // HEADS
    angles = torch.outer(torch.arange(len(x)).float(), 10000.0 ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)
    heads = x.view(len(x), HEADS, size)
    half = torch.cat([-heads[..., size // 2 :], heads[..., : size // 2]], -1)
    return (heads * angles.cos()[:, None] + half * angles.sin()[:, None]).reshape(x.shape)


class Official(nn.Module):
    """The published names around the published forward."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = Weight(VOCABULARY, HIDDEN, name="embedding_weight")
        self.lm_head = Weight(VOCABULARY, HIDDEN)
        self.model = nn.Module()
        for name in ("H_level", "L_level"):
            level = nn.Module()
            level.core = nn.Module()
            level.core.layers = nn.ModuleList([Block() for _ in range(LAYERS)])
            self.model.add_module(name, level)
        self.model.register_buffer("zL_init", torch.randn(HIDDEN).bfloat16())

    def forward(self, ids):
        mask = drawn_mask([ids], len(ids))[0]
        z_h = F.embedding(torch.tensor(ids), self.embed_tokens.embedding_weight) * math.sqrt(HIDDEN)
        z_l = self.model.zL_init.float()
        for _ in range(H_CYCLES):
            for _ in range(L_CYCLES):
                z_l = stack(self.model.L_level, z_l + z_h, mask)
            z_h = stack(self.model.H_level, z_h + z_l, mask)
        return z_h @ self.lm_head.weight.T


def stack(level, x, mask):
    for block in level.core.layers:
        x = block(x, mask)
    return F.rms_norm(x, (HIDDEN,), eps=1e-6)


class Optimizer(torch.optim.Optimizer):
    """The state that the official Adam-atan2 keeps, of some step."""

    def __init__(self, parameters, ema: float | None = 0.999):
        defaults = {"lr": torch.tensor(0.0), "betas": (0.9, 0.95), "weight_decay": 0.1, "ema": ema}
        super().__init__(parameters, defaults)
        for weight in self.param_groups[0]["params"]:
            state = self.state[weight]
            state["step"] = torch.tensor(3.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.randn_like(weight), torch.rand_like(weight)
            if ema is not None:
                state["param_ema"] = weight.detach() + 0.01 * torch.randn_like(weight)

    @torch.no_grad()
    def swap(self):
        for weight, state in self.state.items():
            weight.copy_(state["param_ema"])


SETTINGS = {
    "arch": {
        "name": "baselines.hrm_nocarry_bp_warmup@HierarchicalReasoningModel", "head": "lm_head@LMHead",
        "half_layers": True, "H_cycles": H_CYCLES, "L_cycles": L_CYCLES, "H_override": {}, "bp_warmup_ratio": 0.2,
        "bp_max_steps": 5, "n_layers": 2 * LAYERS, "hidden_size": HIDDEN, "num_heads": HEADS, "expansion": 4,
        "norm_type": "pre", "norm_eps": 1e-6, "rope_theta": 10000.0, "pos_emb_type": "rope", "init_type": "lecun_normal",
    },
    "data": {"path": "/dev/shm/sampled", "target_only": True},
    "global_batch_size": 196608, "epochs": 4, "lr": 2.2e-4, "lr_min_ratio": 1.0, "lr_warmup_steps": 2000,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "ema": 0.9999,
}  # fmt: skip
TAGS = {
    "boq": "<|im_start|>", "eoq": "<|im_end|>", "eoa": "<|box_end|>",
    "condition_mapping": {
        "direct": "<|object_ref_start|>", "cot": "<|object_ref_end|>", "noisy": "<|quad_start|>", "synth": "<|quad_end|>",
    },
}  # fmt: skip


def save_official(folder: Path, model: Official, optimizer: Optimizer, epoch: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    state = {"model": model.state_dict(), "optim": get_optimizer_state_dict(model, optimizer)}
    dcp.save(state, checkpoint_id=folder / f"fsdp2_epoch_{epoch}", no_dist=True)
    torch.save(None, folder / f"carry_epoch_{epoch}.0.pt")
    metadata = {"tokenizer_info": {"tokenizer_path": resolve("tiny"), **TAGS}, "vocab_size": VOCABULARY}
    write_yaml(folder / "all_config.yaml", SETTINGS)
    write_yaml(folder / "train_metadata.yaml", metadata | {"max_seq_len": 4096, "total_length": 10})
    return folder


def write_yaml(path: Path, content: dict) -> None:
    path.write_text(yaml.dump(content))


def load_official(folder: Path, epoch: int, *, ema: bool) -> Official:
    """As the official inference engine loads: everything that model and optimizer name must be there."""
    model = Official()
    optimizer = Optimizer(model.parameters())
    optim = get_optimizer_state_dict(model, optimizer)
    dcp.load({"model": model.state_dict(), "optim": optim}, checkpoint_id=folder / f"fsdp2_epoch_{epoch}", no_dist=True)
    set_optimizer_state_dict(model, optimizer, optim)
    torch.load(folder / f"carry_epoch_{epoch}.0.pt")
    if ema:
        optimizer.swap()
    return model


def keys_of(folder: Path, epoch: int) -> set[str]:
    return set(dcp.FileSystemReader(folder / f"fsdp2_epoch_{epoch}").read_metadata().state_dict_metadata)


def same_bits(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[key].dtype == right[key].dtype and torch.equal(left[key], right[key]) for key in left
    )


def save_drawn(folder: Path) -> Path:
    """Weights and optimizer state drawn anew, the same ones each time."""
    torch.manual_seed(1)
    model = Official()
    return save_official(folder, model, Optimizer(model.parameters()))


def save_small(folder: Path) -> Path:
    """A checkpoint in Transformers' form of a size that the official code can build; its start state fits bfloat16."""
    config = HrmTextConfig(
        vocab_size=512, hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, head_dim=32,
        max_position_embeddings=1024, initializer_range=0.125, L_bp_cycles=[0, 3], pad_token_id=5, bos_token_id=6,
        eos_token_id=11, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    model = HrmTextForCausalLM(config)
    model.model.z_L_init.data.copy_(torch.randn(64).bfloat16())
    model.save_pretrained(folder)
    load_model_and_tokenizer("tiny")[1].save_pretrained(folder)
    return folder
