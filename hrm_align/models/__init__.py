"""The HRM-Text model: loading, prefix mask, gradient horizon, attention, adapters, checks and saving.

Wrappers of a forward, from the outermost to the innermost:

| forward of | wrapper | module | removed by |
| --- | --- | --- | --- |
| the causal LM, one model | `score_responses_only`: only labelled tokens go to the fused head | lm_head | never; acts only on `fused_lm_head=True` |
| the causal LM, one model | TRL's `add_fused_lm_head` | trl.trainer.utils | never; acts only on `fused_lm_head=True` |
| the causal LM, one model | autocast, if FSDP2 shards the model | trainers/fully_sharded | never; one trainer uses the model |
| the backbone, the class | `prefix_mask.install`: builds the mask, or the plan of a per-document attention | prefix_mask | `prefix_mask.uninstall`, in tests |
| both stacks | `Horizon`: hooks that switch gradients per pass | recurrence | `Horizon.detach` |
| each block | `compile_blocks`, in training and without a cache | compile | never; evaluation does not use it |
| linear layers | PEFT's LoRA layers | peft | `merge_and_unload` |
| attention | `per_document` and `varlen`, chosen by `attn_implementation` | attention, varlen | another `attn_implementation` |

A reward model (`reward_model`) has a score head in place of the causal LM's output head: the first two rows do not apply to it.

PEFT wraps the whole model outside of all of these, and calls the causal LM's forward. Hooks of `trainers.monitor` and
of the preemption change nothing. tests/models/test_forward_wrappers.py compares every combination with the unwrapped
model.
"""

from hrm_align.releases import check_releases

check_releases()

from hrm_align.models import prefix_mask as prefix_mask  # noqa: E402  installs the prefix mask before any other module
