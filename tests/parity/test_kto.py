"""KTO: losses, gradients and weights of an independent computation, over several updates.

The other side is plain torch: each document alone in stock Transformers, with a mask drawn token by token, the loss as in the paper
(arXiv 2402.01306, equations 7 and 8), and a step of gradient descent by hand.
"""

import functools

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model

from hrm_align import render_prompt
from hrm_align.models.loading import load_model, load_tokenizer
from hrm_align.trainers.kto import KTOTrainer
from hrm_align.trainers.kto_config import parse_kto
from tests.parity.reference import answer_logprob, float64
from tests.trainers.recipe_runs import arguments

TOLERANCE = 1e-8  # of losses, of about 1, and of gradients and weights. Noise seen: 1e-15
TOLERANCE_STORED = 1e-6  # with log-probabilities of the reference in float32. Noise seen: 1e-7
STEPS = 2
RATE, BETA, WEIGHTS = 0.02, 0.1, {True: 1.0, False: 1.5}
# The words "or so" become more probable behind every prompt, so that the KL divergence is above its lower bound of 0.
ROWS = [
    ("Add 2 and 3.", "5 or so", True),
    ("Write pig backwards.", "gip", False),
    ("Copy: fox", "fox or so", True),
    ("Copy: fox", "fox maybe", True),
    ("Copy: a red fox", "a red fox or so", True),
    ("Add 20 and 3.", "23", False),
]
# Whose answer stands behind each prompt: that of the row two places before, because rows 2 and 3 have the same prompt.
MISMATCHED = (4, 5, 0, 1, 2, 3)


def rows_of(tokenizer):
    made = [
        {
            "prompt_ids": render_prompt(tokenizer, prompt),
            "completion_ids": [*tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id],
            "label": label,
        }
        for prompt, answer, label in ROWS
    ]
    return [{**row, "length": len(row["prompt_ids"]) + len(row["completion_ids"])} for row in made]


def independent(model, reference, rows, loss_type, others, steps):
    """Losses of the steps on all rows, and gradients of the first, by name; the model's weights are updated."""
    losses, first = [], {}
    reference = functools.cache(reference)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    for _ in range(steps):

        def log_ratio(row, answer):
            with torch.no_grad():
                base = reference(tuple(row["prompt_ids"]), tuple(answer["completion_ids"]))
            return answer_logprob(model, row["prompt_ids"], answer["completion_ids"]) - base

        kl = torch.zeros(())
        if loss_type == "kto":
            with torch.no_grad():
                kl = (
                    torch.stack([log_ratio(row, other) for row, other in zip(rows, others, strict=True)])
                    .mean()
                    .clamp(min=0)
                )
        terms = []
        for row in rows:
            reward = BETA * (log_ratio(row, row) - kl)
            terms.append(WEIGHTS[row["label"]] * (1 - torch.sigmoid(reward if row["label"] else -reward)))
        loss = torch.stack(terms).mean()
        gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(trained.values(), gradients, strict=True):
                if gradient is not None:
                    weight -= RATE * gradient
        losses.append(loss.item())
        first = first or {
            name: gradient for name, gradient in zip(trained, gradients, strict=True) if gradient is not None
        }
    return losses, first


def tiny(adapter):
    model = load_model("tiny").double()
    if adapter:
        torch.manual_seed(3)
        model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    return model


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("loss_type", "adapter", "flags"),
    [
        ("kto", False, ()),
        ("kto", True, ("--precompute_ref_log_probs", "true")),
        ("apo_zero_unpaired", False, ()),
    ],
    ids=["kto", "kto_adapter_precomputed", "apo"],
)
def test_kto_computes_what_plain_torch_does(tmp_path, loss_type, adapter, flags):
    settings = {"loss_type": loss_type, "beta": BETA, "undesirable_weight": WEIGHTS[False], "optim": "sgd", "learning_rate": RATE,
                "lr_scheduler_type": "constant", "weight_decay": 0, "max_grad_norm": 0, "max_steps": STEPS, "logging_steps": 1, "save_strategy": "no",
                "per_device_train_batch_size": 6, "train_sampling_strategy": "sequential", "report_to": "none"}  # fmt: skip
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    recipe = parse_kto(arguments(tmp_path / "run", tmp_path / "rows.jsonl", *words, *flags))
    tokenizer = load_tokenizer("tiny")
    rows = rows_of(tokenizer)
    with float64():
        trainer = KTOTrainer(tiny(adapter), recipe.training, Dataset.from_list(rows), tokenizer)
        losses, gradients, step = [], {}, trainer.training_step

        def recorded(*args):
            losses.append(float(step(*args)))
            if len(losses) == 1:
                bare = trainer.accelerator.unwrap_model(trainer.model)
                gradients.update({n: w.grad.clone() for n, w in bare.named_parameters() if w.grad is not None})
            return torch.tensor(losses[-1])

        trainer.training_step = recorded
        trainer.train()
        model, start = tiny(adapter), load_model("tiny").double()
        others = [rows[place] for place in MISMATCHED]
        expected, first = independent(model, lambda *row: answer_logprob(start, *row), rows, loss_type, others, STEPS)
    assert loss_type != "kto" or trainer.state.log_history[-2]["kl"] > 0.01, "mismatched answers count"
    tolerance = TOLERANCE_STORED if flags else TOLERANCE
    assert losses == pytest.approx(expected, abs=tolerance) and abs(losses[-1] - losses[0]) > 1e-4, losses
    assert gradients.keys() == first.keys()
    assert max((gradients[name] - first[name]).abs().max().item() for name in first) < tolerance
    trained = dict(trainer.accelerator.unwrap_model(trainer.model).named_parameters())
    assert max((trained[name] - weight).abs().max().item() for name, weight in model.named_parameters()) < tolerance
