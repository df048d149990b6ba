"""Reinforcement learning: TRL's GRPOTrainer on rendered prompts. models/prefix_mask.py applies the prefix mask.

Changes to TRL's trainer: completions come from hrm_align's own sampler, whose draws do not depend on batch and process; a failing
reward does not end the run; a parity gate compares sampler, trainer and reference; groups with zero reward variance can be replaced
by other prompts; checkpoints are saved only between rollouts; and the time of each phase is logged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from math import nan
from typing import Any, cast

import torch
import trl
from datasets import Dataset
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl.models import unwrap_model_for_generation

from hrm_align.data.examples import Example
from hrm_align.errors import UserError
from hrm_align.models.loading import check_horizon
from hrm_align.rendering import get_renderer
from hrm_align.rewards.suite import RewardSuite
from hrm_align.rollouts.engine import Decoding
from hrm_align.rollouts.groups import GroupSampler, Rollout
from hrm_align.rollouts.http_engine import HttpEngine, connect_engine
from hrm_align.rollouts.local import LocalEngine
from hrm_align.rollouts.logprobs import CHUNK_TOKENS, Pack, packs_in_one_row, score_in_chunks, score_packed
from hrm_align.rollouts.parity import ParityGate
from hrm_align.trainers.callbacks import SaveBetweenRollouts
from hrm_align.trainers.checkpoint_mixin import SafeCheckpoints
from hrm_align.trainers.grpo_config import GRPOArguments
from hrm_align.trainers.importance_sampling import ImportanceSampling, summary
from hrm_align.trainers.launch import NO_SHARDED_SAMPLING
from hrm_align.trainers.mixin import Stabilised
from hrm_align.trainers.reference import settle_adapter
from hrm_align.trainers.rollout_log import RolloutLog
from hrm_align.trainers.step_means import WholeStepPolicyMetrics

# A function that scores greedy answers of a model to held-out prompts: metric values by name.
GreedyEval = Callable[[PreTrainedModel], dict[str, float]]


class GRPOTrainer(RolloutLog, ParityGate, SafeCheckpoints, Stabilised, WholeStepPolicyMetrics, trl.GRPOTrainer):
    """TRL's GRPOTrainer with this package's rollouts, rewards, parity gate, stabilisers and checkpoints.

    Args:
        model: an HrmTextForCausalLM, or an adapter around one, in float32; `bf16` autocasts its forward.
        args: training settings.
        examples: the prompts, with the references or tests that their completions are graded by.
        suite: the rewards.
        processing_class: the model's tokenizer.
        callbacks: Transformers callbacks.
        greedy_eval: function that scores greedy answers at each evaluation; its metrics are logged as `eval_...`.

    Raises:
        UserError: if the checkpoint's `L_bp_cycles` is not an official horizon, or a setting is not supported.
        RunError: if the parity tolerance is exceeded; see also `Stabilised` and `SafeCheckpoints`.
    """

    args: GRPOArguments
    model: Any
    num_generations: int

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        args: GRPOArguments,
        examples: Sequence[Example],
        suite: RewardSuite,
        processing_class: PreTrainedTokenizerFast,
        callbacks: Sequence[TrainerCallback] = (),
        greedy_eval: GreedyEval | None = None,
    ):
        check_horizon(model)
        self._suite, self._greedy_eval, self._renderer = suite, greedy_eval, get_renderer(processing_class)
        assert args.max_completion_length and args.num_generations  # checked by parse_grpo
        decoding = Decoding(
            args.max_completion_length, args.temperature, args.top_k, args.top_p, cuda_graphs=args.cuda_graphs
        )
        self.groups = GroupSampler(
            LocalEngine(),
            examples,
            self._renderer,
            suite,
            decoding,
            group_size=args.num_generations,
            max_resamples=args.max_resamples or 0,
            seed=args.seed,
        )
        served, args.use_vllm = args.use_vllm, False  # TRL would connect to a server of its own protocol
        self._rollout = Rollout()
        self._update_seconds = self._sync_seconds = 0.0  # in the current optimizer step; of the last rollout
        self._has_checked = False  # whether the parity gate has checked a rollout in this process
        texts = [example.messages[-1].content for example in examples]
        rows = Dataset.from_dict({"prompt": texts, "row": list(range(len(examples)))})
        super().__init__(
            model=model,
            args=args,
            reward_funcs=[_named(name) for name in suite.names],
            train_dataset=rows,
            eval_dataset=rows if greedy_eval is not None else None,  # TRL requires one; `evaluate` does not use it
            processing_class=processing_class,
            callbacks=[*callbacks],
        )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise UserError(NO_SHARDED_SAMPLING)
        args.use_vllm = served
        if served:
            self.groups.engine = connect_engine(args, self.groups.prompts, decoding, model, not self._half_precision)
        self.reward_weights = torch.tensor(suite.weights, dtype=torch.float32)
        wanted = args.vllm_importance_sampling_correction
        self._importance_sampling: ImportanceSampling | None = None
        if self._half_precision if wanted is None else wanted:
            bounds = (args.vllm_importance_sampling_clip_min, args.vllm_importance_sampling_clip_max)
            self._importance_sampling = ImportanceSampling(args.vllm_importance_sampling_mode, *bounds)
        self._importance_statistics: list[Tensor] = []  # rows (8,) of the current optimizer step
        self._scored: tuple[Tensor, Tensor | None, Tensor | None] | None = None
        self._settle_reference()
        self.add_callback(SaveBetweenRollouts(self))

    def _settle_reference(self) -> None:
        """Set the reference to the model that the run starts from; TRL may have loaded another one."""
        bare = self.accelerator.unwrap_model(self.model)
        if self.ref_model is not None:
            # TRL loads it from the base model's path, but the policy may start from a merge of base and adapter.
            self.accelerator.unwrap_model(self.ref_model).load_state_dict(bare.state_dict(), strict=True)
        elif isinstance(bare, PeftModel):
            settle_adapter(bare)

    # Rollouts -----------------------------------------------------------------------------------------------------

    @property
    def _is_between_steps(self) -> bool:
        return self._step % int(self.args.gradient_accumulation_steps) == 0

    @property
    def between_rollouts(self) -> bool:
        """Whether no rollout is partly used: the next optimizer step starts with a new rollout."""
        return self._step % (int(self.args.steps_per_generation or 1) * self.num_iterations) == 0

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Sample and grade a rollout, compute its advantages, log it; returns the batch for TRL's update."""
        self._rollout = self._draw([example["row"] for example in inputs])
        output = self._weigh(self._rollout)
        self._note_rollout(output)
        if self.args.parity_every:
            due = self._rollout_number % self.args.parity_every == 0
            # A resumed run checks at once, but logs and draws (dropout) only what an uninterrupted run does.
            devices = [self.args.device] if self.args.device.type == "cuda" else []
            if due or not self._has_checked:
                with nullcontext() if due else torch.random.fork_rng(devices):
                    self._check_parity(output, logged=due)
            elif isinstance(self.groups.engine, HttpEngine):
                self._check_server(output)
            self._has_checked = True
        return output

    def _draw(self, rows: Sequence[int]) -> Rollout:
        """Sample and grade completions for the prompts at `rows`: this process's part of a rollout."""
        number, offset = self.state.global_step, self.accelerator.process_index * len(rows)
        all_rows = self.accelerator.gather(torch.tensor(rows, device=self.accelerator.device)).tolist()
        with (
            unwrap_model_for_generation(
                self.model_wrapped, self.accelerator, gather_deepspeed3_params=self.args.ds3_gather_for_generation
            ) as model,
            self._dist.summon_full_params(self.model_wrapped, recurse=False),
            self.accelerator.autocast(),
            # Between optimizer steps an interrupted rollout loses nothing: the resumed run draws it again.
            self.interruptible(model) if self._is_between_steps else nullcontext(),
        ):
            start = time.perf_counter()
            self.groups.engine.sync(model)
            self._sync_seconds = time.perf_counter() - start
            return self.groups.draw(rows, number=number, offset=offset, all_rows=all_rows)

    def _weigh(self, rollout: Rollout) -> dict[str, Any]:
        """Compute advantages, old and reference log-probabilities with TRL's method, which the overrides below feed."""
        dataset = cast(Dataset, self.train_dataset)
        output = super()._generate_and_score_completions([dataset[t.row] for t in rollout.trajectories])
        if self.args.algorithm == "rloo":
            output["advantages"] *= self.num_generations / (self.num_generations - 1)  # baseline: mean of the others
        return output

    @property
    def _rollout_number(self) -> int:
        steps = int(self.args.steps_per_generation or 1) * self.num_iterations / self.args.gradient_accumulation_steps
        return round(self.state.global_step / steps)

    def _tokenize_prompts(self, prompts: list) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [list(step.prompt_ids) for step in self._rollout.steps], None, {}

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple[list[list[int]], list[list[float]]]:
        return [list(step.ids) for step in self._rollout.steps], [list(step.logprobs) for step in self._rollout.steps]

    def _generate(self, prompts: list) -> tuple:
        ids, completion_ids, tool_mask, _, *rest = super()._generate(prompts)
        # Text decoded by our renderer: TRL skips special tokens, which removes the tags of tool calls and thoughts.
        return ids, completion_ids, tool_mask, [trajectory.text for trajectory in self._rollout.trajectories], *rest

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        rows = [[trajectory.rewards[name] for name in self._suite.names] for trajectory in self._rollout.trajectories]
        ungraded = [
            trajectory.reward is None for trajectory in self._rollout.trajectories
        ]  # also if a judge is missing
        values = [[nan if none or v is None else v for v in row] for row, none in zip(rows, ungraded, strict=True)]
        rewards = torch.tensor(values, dtype=torch.float32, device=self.accelerator.device)
        return cast(Tensor, self.accelerator.gather(rewards))  # (completions of all processes, rewards)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """TRL's training step; also logs the time of the update, without rollout, rewards and parity checks."""
        start, before = time.perf_counter(), self._rollout
        loss = super().training_step(*args, **kwargs)
        self._update_seconds += time.perf_counter() - start
        if self._rollout is not before:
            rollout_seconds = self._rollout.sampling_seconds + self._rollout.grading_seconds
            self._update_seconds -= self._sync_seconds + rollout_seconds + self._parity_seconds
            if isinstance(self.groups.engine, HttpEngine):
                self._note(**{"seconds/sync": self._sync_seconds})
        if self._step % self.current_gradient_accumulation_steps == 0:
            parity = {"seconds/parity": self._parity_seconds} if self._parity_seconds else {}
            self._note(**{"seconds/update": self._update_seconds, **parity})
            self._update_seconds = self._parity_seconds = 0.0
            if self._importance_statistics:
                statistics = cast(Tensor, self.accelerator.gather(torch.stack(self._importance_statistics)))
                self._note(**summary(statistics))
                self._importance_statistics = []
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """TRL's loss; with importance sampling, each token's policy term is multiplied by its importance weight.

        TRL applies the weights for vLLM only. Every loss type but VESPO is linear in the advantages as long as their signs do
        not change, so weighted advantages give the same loss. TRL omits `old_per_token_logps` if the rollout was sampled by
        the current policy; then the log-probabilities of this forward serve as the old ones too.
        """
        correction = self._importance_sampling
        if correction is None:
            return super()._compute_loss(model, inputs)
        mask = inputs["completion_mask"]  # (batch, completion)
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)  # (batch, prompt + completion)
        present = torch.cat([inputs["prompt_mask"], mask], dim=1)
        scored = self._get_per_token_logps_and_entropies(model, ids, present, mask.shape[1], compute_entropy=True)
        old = inputs.get("old_per_token_logps", scored[0])
        weights, statistics = correction.weights(old, inputs["sampling_per_token_logps"], mask)
        self._importance_statistics.append(statistics)
        if self.loss_type == "vespo":
            weighted = {"importance_sampling_ratio": weights}
        else:
            weighted = {"advantages": inputs["advantages"].view(len(mask), -1) * weights}
        self._scored = scored
        try:
            return super()._compute_loss(model, {**inputs, **weighted})
        finally:
            self._scored = None

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return log-probabilities and entropies (batch, completion): with shared prompts, or in chunks of like length."""
        if self._scored is not None:  # `_compute_loss` has run this forward already
            return self._scored
        alone = self.accelerator.num_processes == 1  # DDP allows no chunks: one backward must follow one forward
        if self.args.share_prompts:
            return *self._score_packed(model, input_ids, attention_mask, logits_to_keep, in_chunks=alone), None
        whole = super()._get_per_token_logps_and_entropies
        if not alone:
            return cast(Any, whole(model, input_ids, attention_mask, logits_to_keep, *args, **kwargs))

        def score(ids: Tensor, mask: Tensor, length: int) -> tuple[Tensor, Tensor | None]:
            logprobs, entropies, _ = whole(model, ids, mask, length, *args, **kwargs)
            return logprobs, entropies

        return *score_in_chunks(score, input_ids, attention_mask, logits_to_keep), None

    def _score_packed(
        self, model: Any, ids: Tensor, mask: Tensor, length: int, in_chunks: bool
    ) -> tuple[Tensor, Tensor | None]:
        in_one_row = packs_in_one_row(self.accelerator.unwrap_model(model).config._attn_implementation)

        def run(pack: Pack, targets: Tensor) -> Any:
            if self.health is not None:
                self.health.token_counts = pack.counts
            with self.accelerator.autocast():
                return model(
                    input_ids=pack.input_ids,
                    attention_mask=pack.attention_mask,
                    position_ids=pack.position_ids,
                    targets=targets,
                    tokens_to_score=pack.tokens_to_score,
                    fused_lm_head=True,
                )

        return score_packed(
            run, ids, mask, length, self._renderer.pad_id, in_one_row, CHUNK_TOKENS if in_chunks else None
        )

    # Evaluation ---------------------------------------------------------------------------------------------------

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Grade greedy answers to held-out prompts with the rewards, and log the metrics."""
        if self._greedy_eval is None:
            raise UserError("--eval_strategy has nothing to evaluate: set --generation_eval_samples, or leave it out.")
        with self.evaluated_weights():
            bare = self.accelerator.unwrap_model(self.model)
            with self.interruptible(bare, is_shared=True):
                scored = self._greedy_eval(bare)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scored.items()}
        self.model.eval()  # otherwise `log` adds the metrics of training steps
        self.log(dict(metrics))
        self.model.train()
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _named(name: str) -> Callable[..., None]:
    """Return a function whose name TRL uses as the reward's name; `RewardSuite` computes the reward itself."""

    def reward(**kwargs: Any) -> None:
        raise AssertionError("rewards are computed by the suite")

    reward.__name__ = name
    return reward
