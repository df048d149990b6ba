"""DPO through its recipe: it resumes to the bit, does not depend on how a step is split, and refuses what has no meaning."""

import json
import math

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers.modeling_layers import GradientCheckpointingLayer
from trl.trainer.utils import add_fused_lm_head

from hrm_align.config.arguments import DataArguments, LoraArguments
from hrm_align.data.preference_tokens import tokenized_pairs
from hrm_align.errors import UserError
from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.lm_head import score_responses_only
from hrm_align.models.loading import load_model, load_model_and_tokenizer
from hrm_align.models.lora import add_adapter
from hrm_align.run import read_data
from hrm_align.trainers.dpo import DPOTrainer
from hrm_align.trainers.dpo_config import DPOArguments, parse_dpo
from hrm_align.trainers.reference import frozen_copy
from hrm_align.trainers.sft import SFTTrainer
from hrm_align.trainers.sft_config import SFTArguments
from tests.command_line import run
from tests.launching import launch
from tests.parity.faults import randomise_adapter
from tests.trainers.preference_runs import arguments, dpo, pairs
from tests.trainers.recipe_runs import ROOT, metrics, weights, write_rows
from tests.trainers.resume.runs import curve, tensors

ADAPTER = ("--use_peft", "true", "--lora_r", "4")
BY_FOUR = ("--per_device_train_batch_size", "4")
BY_ONE = ("--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "4")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return pairs(tmp_path_factory.mktemp("pairs"))


# Resuming ------------------------------------------------------------------------------------------------------------


def assert_resumes_to_the_bit(folder, start, middle):
    """`start(folder, *flags)` runs the recipe whole, and again from the checkpoint in its middle; 5 steps are an epoch."""
    steps = ("--max_steps", str(2 * middle), "--save_strategy", "steps", "--save_steps", str(middle))
    start(folder / "whole", *steps)
    start(folder / "resumed", *steps, "--resume_from_checkpoint", str(folder / f"whole/checkpoint-{middle}"))
    expected = {step: record for step, record in curve(folder / "whole").items() if step > middle}
    assert curve(folder / "resumed") == expected != {}
    ours, theirs = tensors(folder / "resumed"), tensors(folder / "whole")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not [*(folder / "whole").glob("**/ref")], "a copy of the adapter is no part of a checkpoint"


@pytest.mark.parametrize(
    "flags, middle",
    [
        pytest.param(BY_FOUR, 1, id="full"),
        pytest.param(
            (*BY_ONE, *ADAPTER, "--precompute_ref_log_probs", "true"), 1, id="adapter, accumulated, precomputed"
        ),
        *(
            pytest.param(flags, 4, id=name, marks=pytest.mark.campaign)
            for name, flags in {
                "full, long": BY_FOUR,
                "full, accumulated": BY_ONE,
                "full, precomputed": (*BY_FOUR, "--precompute_ref_log_probs", "true"),
                "adapter": (*BY_FOUR, *ADAPTER),
                "adapter, accumulated": (*BY_ONE, *ADAPTER),
                "pissa": (*BY_FOUR, *ADAPTER, "--init_lora_weights", "pissa"),
            }.items()
        ),
    ],
)
def test_a_stopped_run_resumes_to_the_bit(flags, middle, data, tmp_path):
    assert_resumes_to_the_bit(tmp_path, lambda out, *more: dpo(out, data, *flags, *more), middle)


@pytest.mark.campaign
@pytest.mark.parametrize("adapter", [(), ADAPTER], ids=["full", "adapter"])
@pytest.mark.parametrize("split", [1, 4])
def test_a_stopped_run_of_two_processes_resumes_to_the_bit(adapter, split, data, tmp_path):
    sizes = ("--per_device_train_batch_size", str(4 // split), "--gradient_accumulation_steps", str(split))

    def start(out, *more):
        launch(
            ROOT / "recipes/accelerate/two_processes_cpu.yaml",
            "recipes/dpo.py",
            arguments(out, data, *sizes, *adapter, *more),
        )

    assert_resumes_to_the_bit(tmp_path, start, 4)


# The reference -------------------------------------------------------------------------------------------------------


def first_rewards(out):
    first = metrics(out)[0]
    return [first[f"rewards/{side}"] for side in ("chosen", "rejected")]


@pytest.mark.numeric
def test_a_run_from_an_adapter_starts_from_the_merge_which_is_also_the_reference(data, tmp_path):
    """TRL would compare the merged policy with the adapter's base."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    adapted = add_adapter(model, tokenizer, "tiny", LoraArguments(use_peft=True, lora_r=2))
    randomise_adapter(adapted, 0, size=0.05)
    adapted.save_pretrained(tmp_path / "adapter")
    dpo(tmp_path / "dpo", data, "--model_name_or_path", str(tmp_path / "adapter"), "--max_steps", "1", *BY_FOUR)
    assert max(map(abs, first_rewards(tmp_path / "dpo"))) < 1e-5
    assert metrics(tmp_path / "dpo")[0]["loss"] > math.log(2), "sigmoid and sft"
    merged = load_model(str(tmp_path / "dpo/start"))
    ours = merged.get_parameter("model.H_module.layers.0.mlp.down_proj.weight")
    assert not torch.equal(ours, load_model("tiny").get_parameter("model.H_module.layers.0.mlp.down_proj.weight"))


def rows_of(data, tokenizer):
    args = DataArguments(datasets=[{"path": str(data)}])
    return tokenized_pairs(read_data(args, 0, None, kind="pairs"), args, tokenizer, 64)[0]


def settings(folder, kind=DPOArguments, **more):
    given = {"learning_rate": 1e-2, "max_steps": 2, "per_device_train_batch_size": 4, "report_to": "none", "use_cpu": True,
             "disable_tqdm": True, "logging_steps": 1, "save_steps": 1}  # fmt: skip
    return kind(output_dir=str(folder), **(given | more))


@pytest.mark.numeric
def test_the_reference_of_a_model_trained_in_memory_is_that_model(data, tmp_path):
    """Neither the path of its config, nor the policy itself through a method that the earlier trainer has replaced."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    documents = Dataset.from_list([{"input_ids": [6, 40, 41, 7, 42, 11], "prefix_length": 4, "length": 6}] * 8)
    SFTTrainer(model, settings(tmp_path / "sft", SFTArguments, save_strategy="no"), documents, tokenizer).train()
    trainer = DPOTrainer(model, settings(tmp_path / "dpo", save_strategy="no"), rows_of(data, tokenizer), tokenizer)
    trainer.train()
    logged = [record for record in trainer.state.log_history if "loss" in record]
    assert abs(logged[0]["rewards/chosen"]) < 1e-5 < abs(logged[1]["rewards/chosen"])


def test_a_frozen_copy_runs_by_itself():
    """An earlier trainer has replaced the model's forward by one that runs the model, and hooked itself to it."""
    model, calls = load_model("tiny"), []
    add_fused_lm_head(model)
    score_responses_only(model)
    model.register_forward_hook(lambda *_: calls.append("hook"))
    copied, ids = frozen_copy(model), torch.tensor([[6, 40, 41, 7, 42, 11]])
    before = copied(ids, use_cache=False).logits
    assert torch.equal(before, model(ids, use_cache=False).logits)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01)
    assert torch.equal(copied(ids, use_cache=False).logits, before)
    assert not any(weight.requires_grad for weight in copied.parameters())
    assert len(calls) == 1


@pytest.mark.numeric
def test_a_continued_adapter_has_a_frozen_copy_that_no_checkpoint_contains(data, tmp_path):
    model, tokenizer = load_model_and_tokenizer("tiny")
    tokens = {"embed_tokens": tokenizer("say 1").input_ids}
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", trainable_token_indices=tokens)
    adapted = get_peft_model(model, config, autocast_adapter_dtype=False)
    randomise_adapter(adapted, 0, size=0.05)
    with torch.no_grad():
        (trained,) = [weight for name, weight in adapted.named_parameters() if "trainable_tokens_delta" in name]
        trained.add_(1.0)
    trainer = DPOTrainer(adapted, settings(tmp_path), rows_of(data, tokenizer), tokenizer)
    trainer.train()
    trainer.save_model(str(tmp_path))
    assert "ref" in adapted.peft_config, "with the adapter disabled the reference would be the base"
    first, second = [record for record in trainer.state.log_history if "loss" in record]
    assert abs(first["rewards/chosen"]) < 1e-5 < abs(second["rewards/chosen"])
    for folder in (tmp_path, tmp_path / "checkpoint-2"):
        assert (folder / "adapter_model.safetensors").is_file() and not (folder / "ref").exists()
        names = tensors(folder)
        assert names and not [name for name in names if ".ref" in name]


def test_a_new_adapter_needs_no_copy(data, tmp_path):
    model, tokenizer = load_model_and_tokenizer("tiny")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]), autocast_adapter_dtype=False)
    trainer = DPOTrainer(adapted, settings(tmp_path), rows_of(data, tokenizer), tokenizer)
    assert [*adapted.peft_config] == ["default"] and trainer.ref_model is None


# The step ------------------------------------------------------------------------------------------------------------


@pytest.mark.numeric
@pytest.mark.parametrize("loss", [("sigmoid", "sft"), pytest.param(("ipo",), marks=pytest.mark.campaign)], ids="+".join)
def test_the_loss_and_the_metrics_of_a_step_do_not_depend_on_its_split(loss, data, tmp_path):
    """The answers have one to seven words: a mean of the means of batches would weigh them by their batch."""
    flags = ("--loss_type", *loss, "--max_steps", "1", "--train_sampling_strategy", "sequential", "--health", "false")
    dpo(tmp_path / "whole", data, *BY_FOUR, *flags)
    dpo(tmp_path / "split", data, *BY_ONE, *flags)
    whole, split = (metrics(tmp_path / name)[0] for name in ("whole", "split"))
    assert {"logps/chosen", "entropy", "logits/rejected", "mean_token_accuracy", "num_tokens"} <= whole.keys()
    for name in whole.keys() - {"time", "train_tokens_per_second", "tokens_per_second"}:
        assert split[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-6), name
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "split")
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-4


@pytest.mark.numeric
def test_an_evaluation_is_a_mean_over_all_held_out_pairs(data, tmp_path):
    flags = ("--eval_fraction", "0.4", "--eval_strategy", "steps", "--eval_steps", "1", "--max_steps", "1", "--loss_type", "[ipo, sft]",
             "--generation_eval_samples", "2", "--max_new_tokens", "8")  # fmt: skip
    found = []
    for size in ("3", "50"):
        dpo(tmp_path / size, data, *BY_FOUR, *flags, "--per_device_eval_batch_size", size)
        found.append(
            {name: value for record in metrics(tmp_path / size) for name, value in record.items() if "eval_" in name}
        )
    assert {"eval_loss", "eval_rewards/margins", "eval_logps/chosen", "eval_exact_match"} <= found[0].keys()
    for name in ("eval_loss", "eval_rewards/margins", "eval_logps/chosen", "eval_entropy"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-4), name
    assert len((tmp_path / "3/samples.jsonl").read_text().splitlines()) == 2


def test_every_second_layer_stays_the_one_that_is_recomputed(data, tmp_path):
    """TRL turns recomputation off for the reference, and on again for every layer."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    args = settings(tmp_path, activation_checkpointing=True, activation_checkpointing_kwargs={"every_n_layers": 2})
    trainer = DPOTrainer(model, args, rows_of(data, tokenizer), tokenizer)
    seen = []
    model.register_forward_pre_hook(lambda *_: seen.append([module.gradient_checkpointing for module in blocks]))
    blocks = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    trainer.train()
    assert len(seen) == 2 and seen[0] == seen[1] and {*seen[0]} == {True, False}


# The result ----------------------------------------------------------------------------------------------------------


def test_the_result_is_evaluated_on_the_chosen_answers_and_listed_as_dpo(data, tmp_path, capsys):
    out = tmp_path / "run"
    dpo(out, data, *BY_FOUR, "--max_steps", "1", "--eval_fraction", "0.3")
    code, printed, err = run(capsys, "evaluate", out, "--json", "--max_new_tokens", "4")
    assert code == 0, err
    assert json.loads(printed)["n"] > 0
    code, printed, err = run(capsys, "runs", "list", tmp_path, "--json")
    assert [row["kind"] for row in json.loads(printed)["runs"]] == ["dpo"]


@pytest.mark.campaign
def test_the_result_is_exported(data, tmp_path, capsys):
    out = tmp_path / "run"
    dpo(out, data, *BY_FOUR, *ADAPTER, "--max_steps", "2", "--eval_fraction", "0.3")
    code, _, err = run(capsys, "export", out, "--to", tmp_path / "export", "--max_new_tokens", "4", "--json")
    assert code == 0, err
    assert (
        "preference training on pairs of answers (DPO) with a LoRA adapter"
        in (tmp_path / "export/README.md").read_text()
    )
    load_adapted("tiny", {"exported": open_adapter(str(tmp_path / "export"))})


# Mistakes ------------------------------------------------------------------------------------------------------------

REFUSED = {
    "--lora_target_modules all --use_peft true": "names all, and the output head cannot be adapted",
    "--lora_target_modules head --use_peft true": "names head, and the output head",
    "--lora_dropout 0.1 --use_peft true": "lora_dropout is 0.1",
    "--neftune_noise_alpha 5": "neftune_noise_alpha cannot be set",
    "--disable_dropout false": "disable_dropout cannot be set",
    "--truncation_mode keep_start": "truncation_mode cannot be set",
    "--padding_free true": "padding_free cannot be set",
    "--pad_token x": "pad_token cannot be set",
    "--model_init_kwargs {}": "model_init_kwargs cannot be set",
    "--sync_ref_model true": "sync_ref_model cannot be set",
    "--loss_type sigmoyd": "loss_type cannot be 'sigmoyd'. Use sigmoid, hinge",
    "--loss_type sigmoid sigmoid": "Name each loss once",
    "--loss_type sigmoid sft --loss_weights 1": "loss_weights",
    "--loss_type sigmoid sft --loss_weights 1 -1": "Use weights of 0 or more",
    "--loss_type exo_pair": "label_smoothing is 0",
    "--label_smoothing 0.1": "label_smoothing has no effect on sigmoid, sft",
    "--label_smoothing 0.5 --loss_type robust": "from 0 to below 0.5",
    "--discopop_tau 0.1": "discopop_tau has no effect",
    "--use_weighting true": "use_weighting weighs pairs, and the loss sft",
    "--f_divergence_type js_divergence --loss_type nca_pair": "the loss nca_pair has no such form",
    "--f_divergence_type kl": "f_divergence_type cannot be 'kl'",
    "--ld_alpha 2": "between 0 and 1",
    "--beta 0": "above 0",
    "--max_length 4": "8 tokens or more",
    "--replay_datasets a.jsonl --replay_fraction 0.1": "replay_datasets is for supervised fine-tuning only",
    "--metric_for_best_model eval_exact_match --eval_fraction 0.1 --eval_strategy steps": "a score of generated answers",
    "--packing true": "packing is a setting of hrm-align sft",
    "--precompute_ref_batch_size 4": "has no effect without precompute_ref_log_probs",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_a_setting_without_meaning_is_refused_by_name(flags, data):
    with pytest.raises(UserError) as refused:
        parse_dpo(arguments("out", data, *flags.split(" ")))
    assert REFUSED[flags] in str(refused.value)
    assert str(refused.value).startswith(("command line: ", "recipe: "))


def test_rows_that_are_no_pairs_are_refused(tmp_path, capsys):
    rows = write_rows(tmp_path / "rows.jsonl", [{"prompt": "say a", "response": "a"}])
    code, _, err = run(capsys, "dpo", *arguments(tmp_path / "out", rows))
    assert code == 2 and "hrm-align dpo" in err and "Traceback" not in err
