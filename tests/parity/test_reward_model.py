"""Scores and the Bradley-Terry loss of a reward model, against an independent forward with a hand-drawn mask."""

import math

import pytest
import torch
from datasets import Dataset

from hrm_align.models.loading import load_tokenizer
from hrm_align.models.reward_loading import Scorer, load_reward_model_and_tokenizer
from hrm_align.models.reward_model import HrmTextForSequenceClassification
from hrm_align.rendering import Message
from hrm_align.trainers.reward import RewardTrainer
from hrm_align.trainers.reward_config import RewardModelArguments
from tests.parity.reference import document, float64, rule_mask, small_model, unpatched

PAD = 5
ROWS = [  # prompt, chosen, rejected, margin
    ("Add 2 and 3.", "5", "5 maybe", 0.5),
    ("Write pig backwards.", "gip", "gip gip gip lol", 0.0),
    ("Copy: fox", "fox", "fo", 2.0),
]


def reference_score(model, tokens):
    """Score of one document alone: the hidden state of its last token, under the mask of the rule, times the head."""
    ids = torch.as_tensor(tokens)
    with unpatched(), torch.no_grad():
        hidden = model.model(
            ids[None], attention_mask=rule_mask([ids.tolist()], len(ids)), use_cache=False
        ).last_hidden_state
    return (hidden[0, -1] @ model.score.weight[0]).item()


def small_reward_model():
    language_model = small_model(num_labels=1)
    torch.manual_seed(1)
    model = HrmTextForSequenceClassification(language_model.config)
    model.model.load_state_dict(language_model.model.state_dict())
    torch.nn.init.normal_(model.score.weight)
    return model.eval()


@pytest.mark.numeric
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kernel", ["sdpa", "eager", "per_document"])
def test_scores_of_a_padded_batch_are_those_of_each_document_alone(side, kernel):
    with float64():
        model = small_reward_model().double()
        model.set_attn_implementation(kernel)
        documents = [document(prompt, answer) for prompt, answer in ((5, 3), (9, 1), (2, 12), (4, 4))]
        longest = max(map(len, documents))
        ids, mask = torch.full((4, longest), PAD), torch.zeros(4, longest, dtype=torch.long)
        for row, tokens in enumerate(documents):
            place = slice(None, len(tokens)) if side == "right" else slice(longest - len(tokens), None)
            ids[row, place], mask[row, place] = tokens, 1
        with torch.no_grad():
            scores = model(ids, attention_mask=mask).logits[:, 0].tolist()
        model.set_attn_implementation("sdpa")
        expected = [reference_score(model, tokens) for tokens in documents]
    assert scores == pytest.approx(expected, abs=1e-10)
    with unpatched(), torch.no_grad():
        causal = model(documents[0][None]).logits.item()
    assert abs(causal - expected[0]) > 1e-2, "a causal prompt is seen"


@pytest.mark.numeric
def test_the_loss_of_a_run_is_bradley_terry_on_reference_scores(tmp_path):
    """All of it: prompt and answer joined, end token, margins, centering; the rate is 0. Noise seen: 1e-7."""
    model, tokenizer = load_reward_model_and_tokenizer("tiny", seed=3)
    with torch.no_grad():
        model.score.weight *= 30  # scores of several units, so that the loss is far from log 2
    renderer = Scorer(model, tokenizer)._render
    model.requires_grad_(True)
    model.model.z_L_init.requires_grad_(False)
    rows, losses, scores = [], [], []
    for prompt, chosen, rejected, margin in ROWS:
        ids = renderer.prompt([Message("user", prompt)], "direct")
        rows.append({"prompt_ids": ids, "chosen_ids": renderer.response(chosen), "rejected_ids": renderer.response(rejected),
                     "margin": margin, "length": 1})  # fmt: skip
        good, bad = (reference_score(model, ids + renderer.response(text)) for text in (chosen, rejected))
        losses.append(math.log1p(math.exp(-(good - bad - margin))) + 0.1 * (good + bad) ** 2)
        scores.append((good, bad))
    args = RewardModelArguments(str(tmp_path / "run"), learning_rate=0.0, max_steps=1, logging_steps=1, report_to="none",
                                per_device_train_batch_size=3, center_rewards_coefficient=0.1, bf16=False, use_cpu=True,
                                save_strategy="no", disable_tqdm=True, train_sampling_strategy="sequential")  # fmt: skip
    data = Dataset.from_list(rows)
    trainer = RewardTrainer(model, args, data, load_tokenizer("tiny"), eval_dataset=data)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert logged["loss"] == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert logged["margin"] == pytest.approx(sum(good - bad for good, bad in scores) / 3, rel=1e-4)
    assert logged["min_reward"] == pytest.approx(min(map(min, scores)), rel=1e-5)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(sum(losses) / 3, rel=1e-5)
