"""TRL's fused head under FSDP2: the head's gradient is that of one process.

torchrun --nproc-per-node 2 docs/upstream/trl_fused_head_fsdp2.py
"""

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM
from trl.trainer.utils import add_fused_lm_head

dist.init_process_group("gloo")
torch.manual_seed(0)
sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
model = LlamaForCausalLM(LlamaConfig(vocab_size=64, num_key_value_heads=2, **sizes))
add_fused_lm_head(model)
ids = torch.randint(0, 64, (2, 2, 16))[dist.get_rank()]  # other rows on each process


def loss():
    return model(input_ids=ids, labels=ids, fused_lm_head=True).loss


loss().backward()
right = {name: weight.grad.clone() for name, weight in model.named_parameters()}
for gradient in right.values():  # as DDP does
    dist.all_reduce(gradient)
    gradient /= dist.get_world_size()
model.zero_grad()

for layer in model.model.layers:
    fully_shard(layer)
fully_shard(model.model.embed_tokens)
fully_shard(model.lm_head)
fully_shard(model)
loss().backward()
for name, weight in model.named_parameters():
    ours = weight.grad.full_tensor()
    if dist.get_rank() == 0:
        print(f"{name:45s} {((ours - right[name]).norm() / right[name].norm()).item():.1e}")
dist.destroy_process_group()
