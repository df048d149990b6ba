"""What we override, wrap or reach for inside of TRL, Transformers, PEFT and accelerate is there, with the parameters we rely on.

A renamed method would leave an override that nobody calls, without an error. So the overrides are listed: one that no longer
overrides anything is missing from what is found, and a new one is found and not listed.
"""

import ast
import inspect
from pathlib import Path

import peft
import pytest
import sympy
import transformers
import trl
from peft.tuners.lora import Linear
from transformers.models.hrm_text import modeling_hrm_text
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl.kernels import ChunkedLogProbFunction
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction
from trl.trainer.utils import RepeatSampler

from hrm_align.models import prefix_mask
from hrm_align.trainers.distillation import DistillationTrainer
from hrm_align.trainers.dpo import DPOTrainer
from hrm_align.trainers.grpo import GRPOTrainer
from hrm_align.trainers.kto import KTOTrainer
from hrm_align.trainers.reward import RewardTrainer
from hrm_align.trainers.sft import SFTTrainer

ROOT = Path(__file__).parents[2]

SAVING = ["_determine_best_metric", "_evaluate", "_get_output_dir", "_inner_training_loop", "_load_best_model",
          "_load_from_checkpoint", "_load_optimizer_and_scheduler", "_run_epoch", "_save", "_save_checkpoint",
          "_save_optimizer_and_scheduler", "create_model_card", "evaluate", "save_model", "train"]  # fmt: skip
STABLE = ["_get_grad_norm", "_get_train_sampler", "_prepare_for_training", "create_optimizer", "create_scheduler",
          "get_batch_samples", "log", "training_step"]  # fmt: skip
OVERRIDES = {
    SFTTrainer: {*SAVING, *STABLE, "_set_signature_columns_if_needed", "compute_loss", "evaluation_loop", "get_train_dataloader",
                 "prediction_step"},
    DPOTrainer: {*SAVING, *STABLE, "_compute_loss", "_precompute_ref_logps", "_prepare_dataset", "_set_signature_columns_if_needed",
                 "evaluation_loop", "prediction_step"},
    KTOTrainer: {*SAVING, *STABLE, "_compute_kl_logps", "_compute_loss", "_precompute_ref_logps", "_prepare_dataset", "_set_signature_columns_if_needed",
                 "evaluation_loop", "prediction_step"},
    RewardTrainer: {*SAVING, *STABLE, "_set_signature_columns_if_needed", "compute_loss", "evaluation_loop"},
    DistillationTrainer: {*SAVING, *STABLE, "_compute_loss", "_generate_and_score_completions", "_generate_single_turn", "_tokenize_prompts",
                          "compute_loss", "evaluation_loop"},
    GRPOTrainer: {*SAVING, *STABLE, "_calculate_rewards", "_compute_loss", "_generate", "_generate_and_score_completions",
                  "_generate_single_turn", "_get_per_token_logps_and_entropies", "_tokenize_prompts"},
}  # fmt: skip

# What is called or replaced, and the parameters that we name or count on by place.
WRAPPED = [
    (modeling_hrm_text.apply_rotary_pos_emb, ["q", "k", "cos", "sin"]),
    (trl.trainer.utils.add_fused_lm_head, ["model", "temperature", "cast_lm_head_to_fp32", "outputs"]),
    (ChunkedDivergenceFunction.forward, ["ctx", "student_hidden", "student_weight", "student_bias", "teacher_hidden", "teacher_weight",
                                         "teacher_bias", "beta", "temperature"]),
    (trl.DistillationTrainer._get_last_hidden_state, ["unwrapped_model", "input_ids", "attention_mask", "logits_to_keep"]),
    (ChunkedLogProbFunction.forward, ["ctx", "hidden", "weight", "bias", "targets", "temperature", "chunk_size"]),
    (trl.trainer.utils.use_adapter, ["model", "adapter_name"]),
    (trl.trainer.dpo_trainer.DataCollatorForPreference.__init__, ["pad_token_id", "pad_to_multiple_of"]),
    (trl.DPOTrainer.compute_ref_log_probs, ["model", "inputs"]),
    (trl.models.unwrap_model_for_generation, ["model", "accelerator"]),
    (transformers.integrations.sdpa_attention.sdpa_attention_forward, ["module", "query", "key", "value", "attention_mask"]),
    (transformers.Trainer._prepare_for_training, ["self", "max_steps", "train_dataloader", "resume_from_checkpoint"]),
    (peft.PeftModel.save_pretrained, ["save_embedding_layers"]),
    (peft.PeftModel.create_or_update_model_card, ["self", "output_dir"]),
    (Linear.get_delta_weight, ["adapter"]),
    (RepeatSampler.__init__, ["data_source", "mini_repeat_count", "batch_size", "repeat_count", "shuffle", "seed"]),
    (LengthGroupedSampler.__init__, ["batch_size", "dataset", "lengths", "model_input_name", "generator"]),
]  # fmt: skip

# Attributes with a leading underscore of objects that are not ours, which no test of a method can see.
PRIVATE = {
    "_attn_implementation": (transformers.PretrainedConfig, "_attn_implementation"),
    "_name_or_path": (transformers.PretrainedConfig, "_name_or_path"),
    "_metrics": (trl.GRPOTrainer, "self._metrics"),
    "_get_last_hidden_state": (trl.DistillationTrainer, "def _get_last_hidden_state"),
    "_dist": (trl.GRPOTrainer, "self._dist"),
    "_gradient_checkpointing_func": (transformers.modeling_layers.GradientCheckpointingLayer, "_gradient_checkpointing_func"),
    "_prepare_inputs": (transformers.Trainer, "def _prepare_inputs"),
    "_initial_global_step": (transformers.Trainer._inner_training_loop, "self._initial_global_step"),
    "_mpf_": (sympy.Float, "_mpf_"),
    "_prec": (sympy.Float, "_prec"),
    "_actions": (trl.TrlParser, None),
}  # fmt: skip


def upstream(trainer, name):
    """The method of this name that a class would have without us; None if there is none."""
    theirs = [base for base in trainer.__mro__ if not base.__module__.startswith(("hrm_align", "builtins"))]
    return next((vars(base)[name] for base in theirs if name in vars(base)), None)


def ours(trainer):
    """Each of our methods that overrides one of theirs, by name: all of them, as mixins stand on each other."""
    found = {}
    for base in trainer.__mro__:
        if base.__module__.startswith("hrm_align"):
            for name, value in vars(base).items():
                if inspect.isfunction(value) and not name.startswith("__") and upstream(trainer, name):
                    found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("trainer", OVERRIDES)
def test_overrides_are_those_listed(trainer):
    assert set(ours(trainer)) - {"evaluate"} == OVERRIDES[trainer] - {"evaluate"}


@pytest.mark.parametrize("trainer", OVERRIDES)
def test_an_override_takes_what_upstream_is_called_with(trainer):
    for name, methods in ours(trainer).items():
        theirs = list(inspect.signature(upstream(trainer, name)).parameters.values())
        for method in methods:
            parameters = inspect.signature(method).parameters.values()
            named = [each.name for each in parameters if each.kind == each.POSITIONAL_OR_KEYWORD]
            passes_on = any(each.kind == each.VAR_POSITIONAL for each in parameters)
            expected = [each.name for each in theirs if each.kind == each.POSITIONAL_OR_KEYWORD]
            assert named == expected[: len(named)], f"{trainer.__name__}.{name}: {named}, upstream {expected}"
            assert passes_on or len(named) == len(expected), f"{trainer.__name__}.{name} does not take {expected}"


@pytest.mark.parametrize("function, parameters", WRAPPED, ids=lambda part: getattr(part, "__qualname__", ""))
def test_what_is_wrapped_has_the_parameters_that_are_relied_on(function, parameters):
    missing = [name for name in parameters if name not in inspect.signature(function).parameters]
    assert not missing


def test_the_classes_that_the_seam_patches_have_what_it_replaces():
    originals = {cls: inspect.signature(method).parameters for cls, method in prefix_mask._originals.items()}
    forward, prepare = originals[modeling_hrm_text.HrmTextModel], originals[modeling_hrm_text.HrmTextForCausalLM]
    assert {"input_ids", "attention_mask", "position_ids", prefix_mask.CACHE, "token_type_ids"} <= set(forward)
    assert {"input_ids", "next_sequence_length", prefix_mask.CACHE, "is_first_iteration"} <= set(prepare)
    assert all(hasattr(transformers.GenerationMixin, name) for name in prefix_mask._CONTINUOUS_BATCHING)


def private_uses():
    """Attributes with a leading underscore that the package reads and nowhere defines, with one place each."""
    defined, read = set(), {}
    for file in sorted((ROOT / "hrm_align").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case (
                    ast.FunctionDef(name=name)
                    | ast.AsyncFunctionDef(name=name)
                    | ast.ClassDef(name=name)
                    | ast.Name(id=name)
                    | ast.arg(arg=name)
                ):
                    defined.add(name)
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    defined.add(name)
                case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                    read.setdefault(name, f"{file.relative_to(ROOT)}:{node.lineno}")
    return {name: place for name, place in read.items() if name not in defined}


# Of Python and of PyTorch: exits, values of named tuples, weights of a module, tensors by storage, fused operations over lists, the compiler's settings.
PUBLIC_BY_CUSTOM = {
    "_exit",
    "_run_exitfuncs",
    "_asdict",
    "_cdata",
    "_buffers",
    "_parameters",
    "_dynamo",
    "_foreach_lerp_",
    "_foreach_norm",
}


def test_private_attributes_of_others_are_listed_and_exist():
    assert set(private_uses()) == set(PRIVATE) | PUBLIC_BY_CUSTOM, private_uses()
    for owner, text in PRIVATE.values():
        if text is not None:
            assert text in inspect.getsource(inspect.getmodule(owner)), f"{owner.__name__} no longer has {text}"
    assert trl.TrlParser([])._actions, "argparse keeps its arguments there"
