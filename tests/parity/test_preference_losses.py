"""DPO against a computation from the papers: every loss, its gradients and log-probabilities, for every kind of reference.

The other side is Transformers' forward without our patch, one document at a time, under a mask drawn token by token, and the formulas
below in float64. Noise seen: 2e-7 of a loss, 8e-7 of a gradient; a causal prompt or another reference moves it by 1e-2 and more.
"""

from __future__ import annotations

import copy
import functools
import math

import pytest
import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from peft import LoraConfig, get_peft_model
from torch.nn.functional import softplus
from trl.trainer.utils import hash_module

from hrm_align.data.cache import cache_folder
from hrm_align.models.loading import load_tokenizer
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.trainers.dpo import DPOTrainer
from hrm_align.trainers.dpo_config import DPOArguments
from tests.parity.faults import randomise_adapter
from tests.parity.reference import END, document, rule_mask, small_model, unpatched

TOLERANCE = 1e-5
BETA, EPSILON, TAU = 0.3, 0.1, 0.05
PAIRS = 6

# The formulas --------------------------------------------------------------------------------------------------------
# c and r: log-probability of chosen and rejected answers less that under the reference, (pairs,); C and R: their numbers of tokens;
# p: log-probabilities of chosen and rejected answers, q: those under the reference; t: those of the chosen answers' tokens.


def log_sigmoid(x):
    return -softplus(-x)


def exo(d):
    """KL(softmax of both rewards || (1 - epsilon, epsilon)), Ji et al. 2024."""
    better = torch.sigmoid(BETA * d)
    return better * (better.log() - math.log(1 - EPSILON)) + (1 - better) * ((1 - better).log() - math.log(EPSILON))


def smoothed(x):
    return -(1 - EPSILON) * log_sigmoid(BETA * x) - EPSILON * log_sigmoid(-BETA * x)


def discopop(d):
    """Lu et al. 2024, equation 5."""
    share = torch.sigmoid(BETA * d / TAU)
    return (1 - share) * softplus(-BETA * d) + share * torch.exp(-BETA * d)


FORMULAS = {
    "sigmoid": lambda c, r, **_: -log_sigmoid(BETA * (c - r)),
    "hinge": lambda c, r, **_: (1 - BETA * (c - r)).clamp(min=0),
    "ipo": lambda c, r, C, R, **_: (c / C - r / R - 1 / (2 * BETA)) ** 2,
    "exo_pair": lambda c, r, **_: exo(c - r),
    "nca_pair": lambda c, r, **_: softplus(-BETA * c) + softplus(BETA * c) / 2 + softplus(BETA * r) / 2,
    "robust": lambda c, r, **_: (
        ((1 - EPSILON) * softplus(-BETA * (c - r)) - EPSILON * softplus(BETA * (c - r))) / (1 - 2 * EPSILON)
    ),
    "bco_pair": lambda c, r, **_: softplus(-BETA * c) + softplus(BETA * r),
    "sppo_hard": lambda c, r, **_: (c - 1 / (2 * BETA)) ** 2 + (r + 1 / (2 * BETA)) ** 2,
    "aot": lambda p, q, **_: smoothed((p[0] - p[1]).sort().values - (q[0] - q[1]).sort().values),
    "aot_unpaired": lambda c, r, **_: smoothed(c.sort().values - r.sort().values),
    "apo_zero": lambda c, r, **_: torch.sigmoid(-BETA * c) + torch.sigmoid(BETA * r),
    "apo_down": lambda c, r, **_: torch.sigmoid(BETA * c) + torch.sigmoid(-BETA * (c - r)),
    "discopop": lambda c, r, **_: discopop(c - r),
    "sft": lambda t, **_: -torch.cat(t).mean(),
    "sigmoid_norm": lambda c, r, C, R, **_: -log_sigmoid(BETA * (c / C - r / R)),
}


def test_there_is_a_formula_for_every_loss():
    assert {*FORMULAS} == {*DPOArguments.LOSSES}


# Both sides ----------------------------------------------------------------------------------------------------------


def answer_logprobs(model, prompt, answer):
    """Log-probabilities of an answer's tokens, (tokens,), in float64, by the model alone under the mask that we draw."""
    ids = torch.tensor([*prompt, *answer])
    with unpatched():
        logits = model(ids[None], attention_mask=rule_mask([ids.tolist()], len(ids)), use_cache=False).logits[0]
    rows = logits[len(prompt) - 1 : -1].double().log_softmax(dim=-1)
    return rows.gather(1, torch.tensor(answer)[:, None])[:, 0]


def sums(model, rows):
    """Log-probabilities of all chosen and all rejected answers, (pairs,) each, and of the chosen answers' tokens."""
    chosen = [answer_logprobs(model, row["prompt_ids"], row["chosen_ids"]) for row in rows]
    rejected = [answer_logprobs(model, row["prompt_ids"], row["rejected_ids"]) for row in rows]
    return torch.stack([part.sum() for part in chosen]), torch.stack([part.sum() for part in rejected]), chosen


def quantities(policy, reference, rows):
    p, q = sums(policy, rows), [part.detach() for part in sums(reference, rows)[:2]]
    lengths = {
        name: torch.tensor([len(row[key]) for row in rows])
        for name, key in (("C", "chosen_ids"), ("R", "rejected_ids"))
    }
    return {"c": p[0] - q[0], "r": p[1] - q[1], "p": p[:2], "q": q, "t": p[2], **lengths}


def pairs(seed=1):
    torch.manual_seed(seed)
    rows = []
    for number in range(PAIRS):
        ids = document(3 + number % 4, 0).tolist()
        end = ids.index(END) + 1
        answers = [[*torch.randint(31, 64, (1 + (number + more) % 5,)).tolist(), 11] for more in (0, 2)]
        rows.append({"prompt_ids": ids[:end], "chosen_ids": answers[0], "rejected_ids": answers[1]})
    return [
        {**row, "length": len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))}
        for row in rows
    ]


def adapted(trained):
    model = get_peft_model(
        small_model(), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]), autocast_adapter_dtype=False
    )
    if trained:
        randomise_adapter(model, 3, size=0.1)
    return model


def merged():
    """A start that was merged in memory: its config names another model, or none."""
    model = adapted(trained=True).merge_and_unload().requires_grad_(True)
    model.model.z_L_init.requires_grad_(False)
    return model


STARTS = {
    "full": small_model,
    "merged": merged,
    "adapter": lambda: adapted(False),
    "trained adapter": lambda: adapted(True),
}


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny")


def made(model, tokenizer, folder, rows=None, **settings):
    given = {"learning_rate": 1e-2, "max_steps": 2, "per_device_train_batch_size": PAIRS, "save_strategy": "no", "report_to": "none",
             "use_cpu": True, "disable_tqdm": True, "logging_steps": 1, "beta": BETA, "label_smoothing": EPSILON,
             "health": False, "train_sampling_strategy": "sequential"}  # fmt: skip
    args = DPOArguments(output_dir=str(folder), **(given | settings))
    return DPOTrainer(model, args, Dataset.from_list(pairs()) if rows is None else rows, tokenizer)


def weights_of(model):
    return [weight for weight in model.parameters() if weight.requires_grad]


def compare_all(trainer, start, each):
    """Compare all losses together and their gradient at the trainer's present weights, and with `each` every loss alone."""
    trainer.model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    ours = quantities(trainer.model, start, pairs())
    expected = {name: formula(**ours).mean() for name, formula in FORMULAS.items()}
    worst = 0.0
    for name, value in expected.items() if each else ():
        trainer.loss_types, trainer.loss_weights = [name], [1.0]
        with torch.no_grad():
            loss = trainer.compute_loss(trainer.model, batch).item()
        distance = abs(loss - value.item()) / max(1.0, abs(value.item()))
        assert distance < TOLERANCE, (name, loss, value.item())
        worst = max(worst, distance)
    weights = [0.5 + 0.1 * number for number in range(len(expected))]
    trainer.loss_types, trainer.loss_weights = [*expected], weights
    together = sum(weight * value for weight, value in zip(weights, expected.values(), strict=True))
    loss = trainer.compute_loss(trainer.model, batch)
    assert abs(loss - together).item() < TOLERANCE * max(1.0, abs(together.item()))
    gradients = torch.autograd.grad(loss, weights_of(trainer.model))
    expecteds = torch.autograd.grad(together, weights_of(trainer.model))
    apart = max(
        float((a - b).abs().max() / b.abs().max()) for a, b in zip(gradients, expecteds, strict=True) if b.any()
    )
    print(f"largest difference of a loss {worst:.1e}, of a gradient {apart:.1e}")
    assert apart < TOLERANCE, "relative to the largest entry of a tensor"


QUICK = {("full", False), ("adapter", False), ("trained adapter", True)}
CASES = [
    pytest.param(kind, precompute, marks=[] if (kind, precompute) in QUICK else pytest.mark.campaign,
                 id=f"{kind}, {'precomputed' if precompute else 'computed'}")
    for kind in STARTS for precompute in (False, True)
]  # fmt: skip


@pytest.mark.numeric
@pytest.mark.parametrize("kind, precompute", CASES)
def test_every_loss_and_its_gradients_after_updates(kind, precompute, tokenizer, tmp_path):
    model = STARTS[kind]()
    start = copy.deepcopy(model)
    trainer = made(model, tokenizer, tmp_path, precompute_ref_log_probs=precompute)
    trainer.loss_types, trainer.loss_weights = ["sigmoid", "sft"], [1.0, 1.0]
    before = [weight.detach().clone() for weight in weights_of(trainer.model)]
    trainer.train()
    first = trainer.state.log_history[0]
    assert first["rewards/chosen"] == pytest.approx(0, abs=1e-5) and first["rewards/margins"] == pytest.approx(
        0, abs=1e-5
    )
    moved = max(float((a - b).detach().abs().max()) for a, b in zip(before, weights_of(trainer.model), strict=True))
    assert moved > 1e-3
    compare_all(trainer, start, each=kind == "full")


# Precomputed log-probabilities ---------------------------------------------------------------------------------------


def columns(trainer):
    rows = trainer.train_dataset
    return torch.tensor([rows["ref_chosen_logps"][:], rows["ref_rejected_logps"][:]], dtype=torch.float64)


@functools.cache
@torch.no_grad()
def right():
    """Log-probabilities of chosen and rejected answers by `small_model`, (2, pairs)."""
    return torch.stack(sums(small_model(), pairs())[:2])


def assert_right(trainer):
    assert (columns(trainer) - right()).abs().max() < TOLERANCE


def stale_of_trl(folder, tokenizer):
    """A file where TRL would look for these rows and these weights, with the log-probabilities of another mask."""
    rows = Dataset.from_list(pairs())
    rows.save_to_disk(folder / "rows")
    rows = Dataset.load_from_disk(folder / "rows")
    key = Hasher.hash((rows._fingerprint, hash_module(small_model())))
    wrong = {name: [-1.0] * PAIRS for name in ("ref_chosen_logps", "ref_rejected_logps")}
    rows.map(lambda _, places: {name: values[places] for name, values in wrong.items()}, with_indices=True,
             remove_columns=rows.column_names, new_fingerprint=key, cache_file_name=rows._get_cache_file_path(key))  # fmt: skip
    return rows


def stale_of_a_causal_run(folder, tokenizer):
    model = small_model()
    with causal_prompt(model):
        trainer = made(model, tokenizer, folder / "causal", precompute_ref_log_probs=True)
    assert (columns(trainer) - right()).abs().max() > 1e-2


def stale_of_a_run_without_the_patch(folder, tokenizer):
    with unpatched():
        made(small_model(), tokenizer, folder / "stock", precompute_ref_log_probs=True, score_responses_only=False)


def stale_of_other_rows(folder, tokenizer):
    made(small_model(), tokenizer, folder / "other", precompute_ref_log_probs=True, rows=Dataset.from_list(pairs(2)))


def stale_of_other_weights(folder, tokenizer):
    made(small_model(1), tokenizer, folder / "other", precompute_ref_log_probs=True)


def stale_of_another_weighting(folder, tokenizer):
    made(small_model(), tokenizer, folder / "other", precompute_ref_log_probs=True, ld_alpha=0.5)


STALE = (stale_of_trl, stale_of_a_causal_run, stale_of_a_run_without_the_patch, stale_of_other_rows, stale_of_other_weights,
         stale_of_another_weighting)  # fmt: skip


@pytest.mark.numeric
@pytest.mark.parametrize("lay", STALE)
def test_log_probabilities_of_another_model_mask_or_data_set_are_never_taken(lay, tokenizer, tmp_path):
    rows = lay(tmp_path, tokenizer)
    trainer = made(small_model(), tokenizer, tmp_path / "run", precompute_ref_log_probs=True, rows=rows)
    assert_right(trainer)


@pytest.mark.numeric
def test_the_same_run_takes_what_it_has_computed_before(tokenizer, tmp_path, monkeypatch):
    first = made(small_model(), tokenizer, tmp_path / "run", precompute_ref_log_probs=True)
    assert [*cache_folder().glob("*/reference.safetensors")]
    monkeypatch.setattr(DPOTrainer, "compute_ref_log_probs", None)
    again = made(small_model(), tokenizer, tmp_path / "again", precompute_ref_log_probs=True)
    assert torch.equal(columns(first), columns(again))
    assert again.ref_model is None
    assert_right(again)


@pytest.mark.numeric
def test_rows_left_out_and_drawn_twice_keep_their_own_log_probabilities(tokenizer, tmp_path):
    chosen = [4, 0, 4, 2]
    rows = Dataset.from_list(pairs()).select(chosen)
    trainer = made(small_model(), tokenizer, tmp_path, precompute_ref_log_probs=True, rows=rows)
    assert (columns(trainer) - right()[:, chosen]).abs().max() < TOLERANCE
    assert [row["prompt_ids"] for row in trainer.train_dataset] == [pairs()[place]["prompt_ids"] for place in chosen]
