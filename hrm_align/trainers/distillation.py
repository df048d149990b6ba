"""On-policy distillation (Agarwal et al. 2024): the student completes prompts, and learns the teacher's distributions at its own tokens.

TRL's DistillationTrainer on rendered prompts; models/prefix_mask.py applies the prefix mask to student, teacher and sampler. Changes
to TRL's trainer: completions come from hrm_align's own sampler; the teacher may be the start of the run, and may read another prompt
(context distillation, Askell et al. 2021); a parity gate compares sampler and trainer; metrics are means over the tokens of a step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, cast

import torch
import trl
from datasets import Dataset
from peft import PeftModel
from torch import Tensor
from transformers import HrmTextForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl.models import unwrap_model_for_generation
from trl.trainer.utils import use_adapter

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.evaluation.drawing import Context
from hrm_align.models.lm_head import expose_adapted_head
from hrm_align.models.loading import check_horizon
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.engine import Decoding
from hrm_align.rollouts.groups import GroupSampler, Rollout
from hrm_align.rollouts.kv_cache import left_pad
from hrm_align.rollouts.local import LocalEngine
from hrm_align.rollouts.parity import ParityGate
from hrm_align.rollouts.trajectories import pad_steps
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.distillation_config import DistillationArguments
from hrm_align.trainers.held_out import GenerationEval, HeldOutEvaluation
from hrm_align.trainers.launch import NO_SHARDED_TEACHER
from hrm_align.trainers.mixin import Stabilised
from hrm_align.trainers.reference import frozen_copy
from hrm_align.trainers.teachers import Teacher, pad_top_tokens, top_divergence_in_chunks, whole_divergence

# Columns of a rollout: padded on the left, and on the right.
_STUDENT, _TEACHER = ("prompt_ids", "prompt_mask"), ("teacher_prompt_ids", "teacher_prompt_mask")
_COMPLETION = ("completion_ids", "completion_mask", "teacher_ids", "teacher_logprobs")


class DistillationTrainer(ParityGate, HeldOutEvaluation, SafeCheckpoints, Stabilised, trl.DistillationTrainer):
    """TRL's DistillationTrainer with this package's sampler, teachers, parity gate, stabilisers and checkpoints.

    The loss is the divergence in nats, a mean over the completion tokens of an optimizer step. It does not depend on how these are
    split into batches, accumulation steps and processes. Besides it `kl`, KL(student || teacher) at the same tokens, is logged.

    Args:
        model: an HrmTextForCausalLM, or a new adapter around one, in float32; `bf16` autocasts its forward.
        args: training settings.
        examples: the prompts.
        processing_class: the model's tokenizer.
        teacher: a model with the same vocabulary; or a `Teacher` that is asked, such as a server; None for the model as it is now:
            the base of an adapter, otherwise a copy.
        context: what the teacher's prompts have and the student's do not; None for the same prompts.
        held_out: prompts of the evaluations, each of which samples completions of all of them.
        callbacks: Transformers callbacks.
        generation_eval: function that scores generated answers at each evaluation; its metrics are logged as `eval_...`.

    Raises:
        UserError: if teacher and student are the same model under the same prompts, the checkpoint's `L_bp_cycles` is not an official
            horizon, or a setting is not supported.
        RunError: if the parity tolerance is exceeded; see also `Stabilised` and `SafeCheckpoints`.
    """

    args: DistillationArguments
    model: Any
    ref_model = None  # for the parity gate

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: DistillationArguments,
        examples: Sequence[Example],
        processing_class: PreTrainedTokenizerFast,
        teacher: PreTrainedModel | PeftModel | Teacher | None = None,
        context: Context | None = None,
        held_out: Sequence[Example] = (),
        callbacks: Sequence[TrainerCallback] = (),
        generation_eval: GenerationEval | None = None,
    ):
        check_horizon(model)
        assert args.max_completion_length
        self._renderer, self._context = get_renderer(processing_class), context
        self.generation_eval = generation_eval
        decoding = Decoding(
            args.max_completion_length, args.temperature, args.top_k, args.top_p, cuda_graphs=args.cuda_graphs
        )
        engine, one = LocalEngine(), {"group_size": 1, "seed": args.seed}
        self.groups = GroupSampler(engine, examples, self._renderer, None, decoding, **one)
        self._held_out = GroupSampler(engine, held_out, self._renderer, None, decoding, **one)
        self._rollout = Rollout()
        self._has_checked = False  # whether the parity gate has checked a rollout in this process
        if teacher is None:
            self._check_prompts_differ()
            teacher = None if isinstance(model, PeftModel) else frozen_copy(cast(HrmTextForCausalLM, model))
        is_model = isinstance(teacher, PreTrainedModel | PeftModel)
        if teacher is not None and not is_model and args.temperature != 1:
            raise UserError(
                f"invalid value for temperature: {args.temperature}. A teacher that returns its most probable tokens gives their "
                "probabilities at temperature 1: use 1."
            )
        super().__init__(
            model=model,
            args=args,
            train_dataset=_rows(examples),
            eval_dataset=_rows(held_out) if held_out else None,
            processing_class=processing_class,
            callbacks=[*callbacks],
        )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise UserError(NO_SHARDED_TEACHER)
        self._asked: Teacher | None = None if is_model else cast(Teacher | None, teacher)
        if is_model:
            expose_adapted_head(teacher)
            self.teacher_model = cast(Any, teacher).requires_grad_(False).eval().to(self.accelerator.device)

    def _check_prompts_differ(self) -> None:
        """Raise UserError if the teacher, which is the student's start, reads the student's prompts."""
        own = zip(self.groups.examples, self.groups.prompts, strict=True)
        if all(self._teacher_prompt(example) == list(prompt) for example, prompt in own):
            raise UserError(
                "the teacher is the student's start and reads the same prompts, so the loss would be 0 and nothing is learnt: give the "
                "teacher another model (teacher_model_name_or_path) or another prompt (teacher_system_file, teacher_examples and "
                "teacher_shots, or teacher_condition)."
            )

    def _teacher_prompt(self, example: Example) -> list[int]:
        asked = example if self._context is None else self._context.apply(example)
        return list(self._renderer.prompt(asked.messages, asked.condition))

    # Rollouts -----------------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Sample a completion of each prompt; returns the batch for TRL's update, with the teacher's prompts or its answers."""
        start, is_training = time.perf_counter(), self._mode == "train"
        self._rollout = Rollout(self._draw([example["row"] for example in inputs], is_training))
        if is_training:
            self._note(**{"seconds/rollout": time.perf_counter() - start})
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if is_training:
            self._check_sampler(output)
        else:
            output["counts"] = torch.arange(len(inputs), device=self.accelerator.device) < self._own_rows(len(inputs))
        return output | self._ask_teacher(output)

    def _own_rows(self, rows: int) -> int:
        """Return how many rows of a held-out batch count: accelerate repeats rows, so that all processes have equally many."""
        state, before = self.accelerator.gradient_state, self.accelerator.process_index * self.args.eval_batch_size
        is_filled = state.end_of_dataloader and state.remainder > 0
        return min(max(state.remainder - before, 0), rows) if is_filled else rows

    def _draw(self, rows: Sequence[int], is_training: bool) -> list[Any]:
        """Sample one completion of the prompt of each row: this process's part of a step or of an evaluation."""
        groups = self.groups if is_training else self._held_out
        first = self.accelerator.process_index * len(rows)
        places = range(first, first + len(rows)) if is_training else rows
        number = self.state.global_step if is_training else 0  # evaluations draw with the same random numbers
        with (
            unwrap_model_for_generation(self.model_wrapped, self.accelerator) as model,
            self.accelerator.autocast(),
            # Nothing of a step is lost with its rollout: the resumed run draws it again.
            self.interruptible(model) if is_training else nullcontext(),
        ):
            groups.engine.sync(model)
            longest = groups.decoding.max_new_tokens
            return groups.draw_ungraded(rows, number=number, max_new_tokens=longest, places=places)

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [list(step.prompt_ids) for step in self._rollout.steps], None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> list[list[int]]:
        return [list(step.ids) for step in self._rollout.steps]

    def _check_sampler(self, output: dict[str, Any]) -> None:
        """Compare sampler and trainer if a check is due; a resumed run checks its first rollout too, and logs nothing of that."""
        due = bool(self.args.parity_every) and self.state.global_step % self.args.parity_every == 0
        if due or (self.args.parity_every and not self._has_checked):
            _, sampled = pad_steps(self._rollout.steps, self._renderer.pad_id, self.accelerator.device)
            devices = [self.args.device] if self.args.device.type == "cuda" else []
            with nullcontext() if due else torch.random.fork_rng(devices):
                self._check_parity({**output, "sampling_per_token_logps": sampled}, logged=due)
        self._has_checked = True

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int
    ) -> tuple[Tensor, None]:
        """Return log-probabilities (batch, completion) as the loss computes them, for the parity gate."""
        bare = self.accelerator.unwrap_model(model)
        with self.accelerator.autocast():
            hidden = self._get_last_hidden_state(bare, input_ids, attention_mask, logits_to_keep)
            logits = bare.get_output_embeddings()(hidden)
        scored = (logits.float() / self.temperature).log_softmax(dim=-1)
        return scored.gather(-1, input_ids[:, -logits_to_keep:, None])[..., 0], None

    # The teacher --------------------------------------------------------------------------------------------------

    def _ask_teacher(self, output: dict[str, Any]) -> dict[str, Tensor]:
        """Return the teacher's own prompts; of a teacher that is asked, its most probable tokens at each completion token."""
        prompts = [list(step.prompt_ids) for step in self._rollout.steps]
        if self._context is not None:
            examples = (self.groups if self._mode == "train" else self._held_out).examples
            prompts = [self._teacher_prompt(examples[trajectory.row]) for trajectory in self._rollout.trajectories]
        device = self.accelerator.device
        if self._asked is not None:
            documents = [(prompt, list(step.ids)) for prompt, step in zip(prompts, self._rollout.steps, strict=True)]
            width = output["completion_ids"].shape[1]
            ids, logprobs = pad_top_tokens(self._asked.score(documents), width)
            return {"teacher_ids": ids.to(device), "teacher_logprobs": logprobs.to(device)}
        if self._context is None:
            return {}
        padded = left_pad(prompts, self._renderer.pad_id)
        return {name: part.to(device) for name, part in zip(_TEACHER, padded, strict=True)}

    @torch.no_grad()
    def _read_as_teacher(self, inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the teacher's hidden states at the completion tokens, (tokens, hidden), and its head's weight, (vocab, hidden)."""
        prompt_ids, prompt_mask = (
            inputs[name if name in inputs else own] for name, own in zip(_TEACHER, _STUDENT, strict=True)
        )
        ids, mask = inputs["completion_ids"], inputs["completion_mask"]
        is_start = self.teacher_model is None
        bare = self.accelerator.unwrap_model(self.model if is_start else self.teacher_model)
        with use_adapter(bare, None) if is_start else nullcontext():
            whole = torch.cat([prompt_ids, ids], dim=1), torch.cat([prompt_mask, mask], dim=1)
            hidden = self._get_last_hidden_state(bare, *whole, ids.shape[1])
            return hidden[mask.bool()], bare.get_output_embeddings().weight

    # The loss -----------------------------------------------------------------------------------------------------

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the divergence from the teacher, which reads outside of the student's forward and its hooks."""
        inputs = _trim(inputs)
        inputs["teacher"] = None if self._asked else self._read_as_teacher(inputs)
        with self._intercept_metrics():  # TRL's entropy is a mean over micro-batches
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _compute_loss(
        self, unwrapped_student: Any, inputs: dict[str, Any], num_items_in_batch: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of a micro-batch, the sum of its student entropies, and its completion tokens."""
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        present = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        if self.health is not None:
            self.health.count_tokens(present)
        scored = inputs["completion_mask"].bool()  # (batch, completion)
        hidden = self._get_last_hidden_state(unwrapped_student, ids, present, scored.shape[1])[scored]
        weight = unwrapped_student.get_output_embeddings().weight

        def diverge(hidden: Tensor, weight: Tensor, beta: float) -> tuple[Tensor, Tensor]:
            if self._asked is not None:
                top = inputs["teacher_ids"][scored], inputs["teacher_logprobs"][scored]
                return top_divergence_in_chunks(hidden, weight, *top, beta)
            teacher_hidden, teacher_weight = inputs["teacher"]
            return whole_divergence(hidden, weight, teacher_hidden, teacher_weight, beta, self.temperature)

        divergence, entropy = diverge(hidden, weight, self.beta)  # (tokens,) each
        kl = divergence.detach()
        if self.beta != 1:
            with torch.no_grad():
                kl = diverge(hidden, weight, 1.0)[0]
        tokens, metrics = scored.sum(), {"kl": kl, "entropy": entropy.detach()}
        counted = torch.ones_like(kl, dtype=torch.bool)
        if self._mode == "eval":
            metrics["loss"], counted = divergence.detach(), inputs["counts"][:, None].expand_as(scored)[scored]
        for name, values in metrics.items():
            self.means[self._mode].add(name, values[counted].sum(), counted.sum())
        items = tokens if num_items_in_batch is None else num_items_in_batch
        return divergence.sum() / items, entropy.detach().sum(), tokens


def _rows(examples: Sequence[Example]) -> Dataset:
    texts = [example.messages[-1].content for example in examples]
    return Dataset.from_dict({"prompt": texts, "row": list(range(len(examples)))})


def _trim(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return a micro-batch without columns that are padding in all of its rows: a rollout is padded before it is split."""
    trimmed = dict(inputs)
    for names in (_STUDENT, _TEACHER):
        if names[1] in inputs:
            first = int(inputs[names[1]].any(dim=0).int().argmax())
            trimmed |= {name: inputs[name][:, first:] for name in names}
    width = int(inputs["completion_mask"].sum(dim=1).max())
    return trimmed | {name: inputs[name][:, :width] for name in _COMPLETION if name in inputs}
