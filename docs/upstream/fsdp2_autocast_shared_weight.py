"""FSDP2 under autocast: a weight used first without gradient, then with it, gets no gradient.

torchrun --nproc-per-node 1 docs/upstream/fsdp2_autocast_shared_weight.py
"""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

dist.init_process_group("gloo")


class Recurrent(nn.Module):
    """One block, run twice; only the second pass carries gradient."""

    def __init__(self):
        super().__init__()
        self.embed, self.block = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, clears):
        x = self.embed(x)
        with torch.no_grad():
            first = self.block(x)
        if clears:
            torch.clear_autocast_cache()
        return self.block(first + x)


for half, clears in ((False, False), (True, False), (True, True)):
    model = Recurrent()
    fully_shard(model.block, reshard_after_forward=False)
    fully_shard(model)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        output = model(torch.randn(4, 8), clears)
    output.float().sum().backward()
    has = "a" if model.block.weight.grad is not None else "no"
    print(f"autocast {half}, cache cleared before the pass with gradient {clears}: {has} gradient")
dist.destroy_process_group()
