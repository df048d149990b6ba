"""What an optimizer holds, against the optimizers themselves on weights that have content."""

import importlib.util
from collections import Counter

import pytest
import torch
from torch import nn
from transformers import Trainer

from hrm_align.errors import UserError
from hrm_align.estimates.optimizer import BLOCKS, optimizer_memory
from hrm_align.trainers.mixin import custom_optimizer
from hrm_align.trainers.sft_config import SFTArguments

MATRIX, VECTOR, EMBEDDING = (96, 64), (100,), (64, 96)
TENSORS = Counter({(MATRIX, torch.float32, False): 2, (VECTOR, torch.float32, False): 1,
                   (EMBEDDING, torch.float32, True): 1})  # fmt: skip
NUMBERS = 2 * 96 * 64 + 100 + 64 * 96
STEPS = 4 * 4  # each of the four counts its steps in a number of four bytes


def arguments(tmp_path, optim, **more):
    return SFTArguments(output_dir=str(tmp_path), optim=optim, report_to="none", max_steps=1, **more)


@pytest.mark.parametrize(
    ("optim", "expected"),
    [
        ("adamw_torch_fused", 8 * NUMBERS + STEPS),
        ("adamw_torch", 8 * NUMBERS + STEPS),
        ("adam_atan2", 8 * NUMBERS),
        ("sgd", 0),
        ("rmsprop", 4 * NUMBERS + STEPS),
        ("adagrad", 4 * NUMBERS + STEPS),
        # A row and a column of each matrix, all of the vector, and the RMS of each.
        ("adafactor", 4 * (3 * (96 + 64) + 100) + STEPS),
    ],
)
def test_the_state_of_an_optimizer_is_what_it_makes(tmp_path, optim, expected):
    assert optimizer_memory(arguments(tmp_path, optim), TENSORS).state == expected


def test_arguments_of_the_optimizer_count(tmp_path):
    """Momentum is a number for each weight; gradients of SGD alone are none."""
    assert optimizer_memory(arguments(tmp_path, "sgd", optim_args="momentum=0.9"), TENSORS).state == 4 * NUMBERS


@pytest.mark.parametrize("optim", ["adamw_torch_fused", "adam_atan2", "adafactor", "rmsprop", "sgd"])
def test_it_is_what_a_real_step_leaves(tmp_path, optim):
    args = arguments(tmp_path, optim)
    weights = [nn.Parameter(torch.randn(shape)) for (shape, _, _), number in TENSORS.items() for _ in range(number)]
    make, keywords = custom_optimizer(args) or Trainer.get_optimizer_cls_and_kwargs(args, nn.Linear(1, 1))
    optimizer = make(weights, **keywords)
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer.step()
    held = [part for state in optimizer.state.values() for part in state.values() if isinstance(part, torch.Tensor)]
    assert optimizer_memory(args, TENSORS).state == sum(part.nbytes for part in held)


@pytest.mark.parametrize(
    ("optim", "expected"),
    [
        # Two codes a number and two scales of 4 bytes for each 256; the vector and the embedding are held in float32.
        ("adamw_8bit", 2 * (2 * 6144 + 2 * 4 * 24) + 8 * 100 + 8 * 6144),
        ("paged_adamw_32bit", 8 * NUMBERS),
        ("lion_8bit", 2 * (6144 + 4 * 24) + 4 * 100 + 4 * 6144),
        # Codes of half a byte and a scale for each 128; embeddings too.
        ("adamw_torch_4bit", 3 * (6144 + 2 * 4 * 48) + 8 * 100),
    ],
)
def test_quantised_states_are_counted_by_their_documented_blocks(tmp_path, optim, expected):
    args = arguments(tmp_path, "sgd")
    args.optim = optim
    assert optimizer_memory(args, TENSORS).state == expected


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("optim", sorted(name for name in BLOCKS if not name.startswith("adamw_torch")))
def test_the_blocks_are_those_of_bitsandbytes(tmp_path, optim):
    args = arguments(tmp_path, optim)
    make, keywords = Trainer.get_optimizer_cls_and_kwargs(args, nn.Linear(1, 1))
    for shape in (MATRIX, VECTOR):
        weight = nn.Parameter(torch.empty(shape, device="meta"))
        optimizer = make([weight], **keywords)
        optimizer.is_paged = False  # which is where it lies, not how large it is
        optimizer.init_state(optimizer.param_groups[0], weight, 0, 0)
        tables = ("qmap1", "qmap2")  # shared by all tensors
        held = [
            part
            for name, part in optimizer.state[weight].items()
            if isinstance(part, torch.Tensor) and name not in tables
        ]
        counted = optimizer_memory(args, {(shape, torch.float32, False): 1}).state
        assert counted == sum(part.nbytes for part in held), (optim, shape)


def test_temporaries_of_a_step_are_those_of_the_largest_weight(tmp_path):
    """Adam-atan2 makes the spread and the angle of one weight at a time; a fused kernel makes nothing."""
    assert optimizer_memory(arguments(tmp_path, "adam_atan2"), TENSORS).temporaries == 2 * 4 * 96 * 64
    assert optimizer_memory(arguments(tmp_path, "adamw_torch_fused"), TENSORS).temporaries == 0


def test_bitsandbytes_opens_its_codes_on_a_cpu_and_not_on_a_gpu(tmp_path):
    """Two states, the gradient, and the root and denominator of the largest weight in float32 (its CPU step, 0.50)."""
    args = arguments(tmp_path, "sgd")
    args.optim = "adamw_8bit"
    assert optimizer_memory(args, TENSORS).temporaries == 5 * 4 * 96 * 64
    assert optimizer_memory(args, TENSORS, on_gpu=True).temporaries == 0


def test_an_optimizer_that_cannot_be_counted_is_refused_in_one_sentence(tmp_path):
    args = arguments(tmp_path, "sgd")
    args.optim = "schedule_free_adamw"
    if importlib.util.find_spec("schedulefree") is not None:
        pytest.skip("schedulefree is installed")
    with pytest.raises(UserError, match="optim schedule_free_adamw cannot be estimated: it needs a package"):
        optimizer_memory(args, TENSORS)
