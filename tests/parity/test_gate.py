"""The gate between sampler, trainer and reference: silent where all is right, and each silent fault stops the run.

Seen where all is right: 7e-6 nats. The smallest fault planted here differs by 0.05.
"""

import pytest
import torch

import hrm_align.rollouts.groups as groups
from hrm_align.errors import RunError
from hrm_align.models.prefix_mask import PrefixMaskError, causal_prompt
from hrm_align.rollouts.kv_cache import left_pad
from hrm_align.rollouts.local import Completion, sample
from hrm_align.trainers.grpo import GRPOTrainer
from tests.parity.reference import unpatched
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import metrics

STEPS = ("--max_steps", "2", "--beta", "0.05", "--parity_every", "1", "--per_device_train_batch_size", "8")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prompts(tmp_path_factory.mktemp("prompts"))


@pytest.mark.numeric
@pytest.mark.parametrize("flags", [(), ("--use_peft", "true", "--lora_target_modules", "all"), ("--bf16", "true")],
                         ids=["full", "adapter", "bf16"])  # fmt: skip
def test_all_three_agree_and_the_log_says_by_how_much(flags, data, tmp_path):
    grpo(tmp_path / "run", data, *STEPS, *flags)
    records = [record for record in metrics(tmp_path / "run") if "parity/sampler_max" in record]
    assert len(records) == 2
    limit = 0.5 if "--bf16" in flags else 1e-4
    for record in records:
        for name in ("sampler", "mask", "reference"):
            assert 0 <= record[f"parity/{name}_mean"] <= record[f"parity/{name}_max"] < limit, name
    assert records[0]["kl"] < 1e-3, "policy and reference begin as one model"


def causal_prefill(engine, *args, **kwargs):
    with causal_prompt(engine.model):
        return sample(engine, *args, **kwargs)


def no_cache(engine, rows, seeds, decoding, **_):
    """Stock `generate` without a cache, without our patch: the answer joins the prefix as it grows."""
    ids, mask = left_pad(rows, 5)
    types = mask.clone()
    with unpatched():
        out = engine.model.generate(
            input_ids=ids, attention_mask=mask, token_type_ids=types, use_cache=False, do_sample=True, top_k=0,
            temperature=decoding.temperature, max_new_tokens=decoding.max_new_tokens, output_logits=True,
            return_dict_in_generate=True,
        )  # fmt: skip
    logprobs = (torch.stack(out.logits, dim=1) / decoding.temperature).log_softmax(-1)
    new = out.sequences[:, ids.shape[1] :]
    chosen = logprobs.gather(-1, new[..., None])[..., 0]
    drawn = []
    for tokens, scores in zip(new.tolist(), chosen.tolist(), strict=True):
        length = tokens.index(11) + 1 if 11 in tokens else len(tokens)
        drawn.append(Completion(tokens[:length], scores[:length]))
    return drawn


def other_temperature(engine, rows, seeds, decoding, **kwargs):
    return sample(engine, rows, seeds, type(decoding)(decoding.max_new_tokens, decoding.temperature * 1.1), **kwargs)


@pytest.mark.parametrize("fault", [causal_prefill, no_cache, other_temperature])
def test_a_sampler_of_another_model_stops_the_run(fault, data, tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "sample", fault)
    with pytest.raises(RunError, match="sampler and trainer"):
        grpo(tmp_path / "run", data, *STEPS)
    assert not (tmp_path / "run/metrics.jsonl").exists(), "before the first update"


def test_token_types_of_a_tokenizer_stop_the_run(data, tmp_path, monkeypatch):
    """Zeros, as a tokenizer made for other models emits them: the mask itself refuses what contradicts the tokens."""

    def typed(engine, *args, **kwargs):
        model, forward = engine.model, engine.model.forward
        model.forward = lambda **given: forward(**given, token_type_ids=torch.zeros_like(given["input_ids"]))
        try:
            return sample(engine, *args, **kwargs)
        finally:
            model.forward = forward

    monkeypatch.setattr(groups, "sample", typed)
    with pytest.raises(PrefixMaskError, match="token_type_ids contradict the tokens"):
        grpo(tmp_path / "run", data, *STEPS)


@pytest.mark.parametrize(
    ("shared", "found"), [("false", "the trainer and the prefix mask"), ("true", "sampler and trainer")]
)
def test_a_policy_that_reads_causally_throughout_stops_the_run(data, tmp_path, monkeypatch, shared, found):
    """Sampler and trainer agree then, row by row; the mask that is drawn by hand does not."""
    settle = GRPOTrainer._settle_reference

    def spoilt(trainer):
        settle(trainer)
        trainer.model.config.prefix_lm = False

    monkeypatch.setattr(GRPOTrainer, "_settle_reference", spoilt)
    with pytest.raises(RunError, match=found):
        grpo(tmp_path / "run", data, *STEPS, "--share_prompts", shared)


def test_a_causal_reference_stops_the_run(data, tmp_path, monkeypatch):
    settle = GRPOTrainer._settle_reference

    def spoilt(trainer):
        settle(trainer)
        trainer.ref_model.config.prefix_lm = False

    monkeypatch.setattr(GRPOTrainer, "_settle_reference", spoilt)
    with pytest.raises(RunError, match="the reference and the prefix mask"):
        grpo(tmp_path / "run", data, *STEPS)


@pytest.mark.parametrize("peft", [False, True], ids=["second model", "adapter off"])
def test_reference_logprobs_of_another_mask_stop_the_run(peft, data, tmp_path, monkeypatch):
    """A cache of them, say, that was filled by a stock trainer."""
    scored = GRPOTrainer._generate_and_score_completions

    def cached(trainer, inputs):
        score = trainer._get_per_token_logps_and_entropies

        def causal(model, *args, **kwargs):
            other = model is not trainer.model or peft
            with causal_prompt(trainer.accelerator.unwrap_model(model)):
                wrong = score(model, *args, **kwargs)
            return wrong if other else score(model, *args, **kwargs)

        check = trainer._check_parity
        trainer._get_per_token_logps_and_entropies = causal
        trainer._check_parity = lambda *a, **k: (delattr(trainer, "_get_per_token_logps_and_entropies"), check(*a, **k))
        return scored(trainer, inputs)

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", cached)
    with pytest.raises(RunError, match="the reference and the prefix mask"):
        grpo(tmp_path / "run", data, *STEPS, *(("--use_peft", "true") if peft else ()))


@pytest.mark.numeric
def test_the_tolerance_is_a_setting(data, tmp_path):
    with pytest.raises(RunError, match=r"at most 1e-09 is allowed \(--parity_tolerance\)"):
        grpo(tmp_path / "run", data, *STEPS, "--parity_tolerance", "1e-9")
