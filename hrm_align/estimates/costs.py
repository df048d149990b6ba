"""What a run takes whatever its batch, and what each token of it does: memory by part, and floating-point operations.

Nothing is loaded: what autograd would keep for the backward is added up on tensors without content, at the run's own horizon,
adapter and precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import HrmTextConfig

from hrm_align.configs import GRPORecipe, SFTRecipe
from hrm_align.errors import UserError
from hrm_align.estimates.kept import empty_model, kept
from hrm_align.models.horizon import Horizon, carrying_passes, longest
from hrm_align.models.loading import DTYPES
from hrm_align.trainers.stabilised import horizon_schedule

Recipe = SFTRecipe | GRPORecipe

GIB = 2**30
FLOAT32 = 4
HALF = 2  # bytes of a number in bfloat16 and float16
LENGTHS = (128, 256)  # tokens of the two forwards whose difference is what a token costs
HEAD_TOKENS = 32_768  # that TRL's head computes at a time
HEAD_COPIES = 2  # the logits in float32 and their gradient


@dataclass(frozen=True)
class Costs:
    """What a run takes on each device, whatever its batch; and what a token does.

    Args:
        fixed: bytes by name, of what does not grow with the batch.
        trained: parameters.
        activation: bytes kept for the backward, for each token.
        mask: bytes kept for each pair of tokens of a row: what sdpa makes of the mask, in every layer of every pass.
        logits: bytes of the head, for each token that it computes at a time.
        forward: floating-point operations of the blocks for each token.
        backward: the same of the backward, and of what it computes again.
    """

    fixed: dict[str, int]
    trained: int
    activation: float
    mask: int
    logits: int
    forward: float
    backward: float

    def activations(self, tokens: int, rows: int) -> int:
        """Bytes that the blocks keep of so many tokens in so many rows of the same length."""
        return round(self.activation * tokens + self.mask * tokens**2 / rows)

    def head(self, tokens: int) -> int:
        """Bytes that the head takes for so many tokens of a forward."""
        return self.logits * min(tokens, HEAD_TOKENS)


def count(recipe: Recipe, config: HrmTextConfig, processes: int = 1) -> Costs:
    """What a recipe's model and its training take (weights are not split: DDP or a single process).

    Args:
        recipe: as parsed.
        config: of its model.
        processes: that train together; of several, each holds its gradients once more to send them.

    Raises:
        UserError: for a quantised base, whose size is bitsandbytes' own, and for eager attention.
    """
    if recipe.model.load_in_4bit or recipe.model.load_in_8bit:
        raise UserError(
            "a base in 4 or 8 bits is not counted: leave load_in_4bit and load_in_8bit out to estimate the same on a whole "
            "base, and auto_batch out to train."
        )
    if recipe.model.attn_implementation == "eager":
        raise UserError("eager attention keeps all its scores, which are not counted: use sdpa or per_document.")
    args, half = recipe.training, computes_in_half_precision(recipe.training)
    bp_steps = horizon_schedule(args, config, 1).max_steps
    with FakeTensorMode():
        model = empty_model(recipe.model, recipe.lora, config)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        whole, gradients = sum(p.nbytes for p in model.parameters()), sum(p.nbytes for p in trained)
        number = sum(parameter.numel() for parameter in trained)
        Horizon(model, bp_steps)
        short, long = (kept(model, length, half) for length in LENGTHS)
    activation = (long - short) / (LENGTHS[1] - LENGTHS[0])
    copies = max(0, round(short - activation * LENGTHS[0])) if half else 0
    high, low = carrying_passes(bp_steps, config)
    passes = sum(high) + sum(map(sum, low))
    layers = passes * int(config.num_layers_per_stack or 0)
    mask = (HALF if half else DTYPES[recipe.model.dtype].itemsize) * layers
    if args.activation_checkpointing:
        mask //= layers
        activation = config.hidden_size * FLOAT32 * layers + activation / layers  # inputs of all, the inside of one
    fixed = {
        "weights": whole,
        "gradients": gradients * (1 if processes == 1 else 2),
        "optimizer": 2 * gradients,
        "average": gradients if args.ema_decay is not None else 0,
        "half-precision copies": copies,
    }
    forward, carried = _forward_of(config, longest(config)), _forward_of(config, passes)
    # A product's backward is one more for its input, and one for the weight if that is trained.
    backward = carried * (1 if recipe.lora.use_peft else 2) + (carried if args.activation_checkpointing else 0)
    mask *= recipe.model.attn_implementation == "sdpa"  # others make none, or as much as their documents are long
    return Costs(fixed, number, activation, mask, HEAD_COPIES * FLOAT32 * config.vocab_size, forward, backward)


def computes_in_half_precision(args: Any) -> bool:
    """Whether a run autocasts its forward."""
    return bool(args.bf16 or args.fp16)


def weights_of_a_stack(config: HrmTextConfig) -> int:
    """In the products of one stack: query, key, value, gate and output of attention, three of the MLP."""
    attention = 5 * config.hidden_size * config.num_attention_heads * config.head_dim
    return (attention + 3 * config.hidden_size * config.intermediate_size) * int(config.num_layers_per_stack or 0)


def _forward_of(config: HrmTextConfig, passes: int) -> float:
    """Operations of so many stack passes for a token: two a weight."""
    return 2.0 * weights_of_a_stack(config) * passes
