"""The model: how it is loaded, masked, trained deeper, adapted, checked and saved.

Who wraps a forward, from the outside in, and who takes the wrapper off again:

| forward of | wrapped by | where | taken off by |
| --- | --- | --- | --- |
| the causal LM, one model | `score_responses_only`: labelled tokens alone go to the fused head | lm_head | nobody: acts only on `fused_lm_head=True` |
| the causal LM, one model | TRL's `add_fused_lm_head` | trl.trainer.utils | nobody: the same |
| the causal LM, one model | autocast, where FSDP2 shards it | trainers/fully_sharded | nobody: lasts as long as the trainer |
| the backbone, the class | `prefix_mask.install`: builds the mask, takes the plan of a per-document attention along | prefix_mask | `prefix_mask.uninstall`, in tests |
| both stacks | `Horizon`: hooks that switch gradients per pass | recurrence | `Horizon.detach` |
| each block | `compile_blocks`, in training and without a cache | compile | nobody: evaluation passes it by |
| linear layers | PEFT's LoRA layers | peft | `merge_and_unload` |
| attention | `per_document` and `varlen`, chosen by `attn_implementation` | attention, varlen | another `attn_implementation` |

PEFT wraps the whole model last, outside of all of these, and calls the causal LM's forward. Hooks of `trainers.monitor` and of the
preemption only look. tests/models/test_forward_wrappers.py compares every combination with the unwrapped model.
"""

from hrm_align.releases import check_releases

check_releases()

from hrm_align.models import prefix_mask as prefix_mask  # noqa: E402  first of all, whichever module of this package is wanted
