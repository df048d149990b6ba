"""Which settings of a run may change when it is resumed. Every setting is in one class; an unlisted one is compared like `SAME`.

SAME      a change is refused: it would contradict the resumed state, be ignored, or give the run two meanings
CHANGING  a change is legitimate, and a sentence names what it does from the checkpoint's step on
FREE      a change affects no optimizer step
SEPARATE  compared in another way: rows by their content, the split of a step by its product, the tokenizer by its file
"""

from __future__ import annotations

from collections.abc import Mapping

# Settings by why a change is refused.
SAME: Mapping[str, tuple[str, ...]] = {
    "the resumed optimizer keeps its saved setting": (
        "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "optim", "optim_args",
        "optim_target_modules", "module_learning_rates",
    ),
    "the resumed run would continue with other rows": (
        "seed", "data_seed", "condition", "ignore_columns", "eval_fraction", "replay_fraction", "max_length", "packing", "packing_strategy",
        "packing_shard_rows", "streaming", "shuffle_buffer",
        "train_sampling_strategy", "length_column_name", "shuffle_dataset", "dataloader_drop_last", "accelerator_config",
        "num_generations", "generation_batch_size", "curriculum", "min_pass_rate", "max_pass_rate", "max_completion_length",
    ),
    "the checkpoint's weights were trained under that setting": (
        "use_peft", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_scaling", "use_rslora", "use_dora",
        "init_lora_weights", "lora_dtype", "trainable_tokens", "load_in_4bit", "load_in_8bit", "dtype", "model_revision",
    ),
    "the checkpoint's averaged weights have that decay": ("ema_decay",),
    "the resumed run would continue with another gradient": (
        "bp_steps", "bp_min_steps", "bp_max_steps", "bp_warmup_ratio", "max_grad_norm", "neftune_noise_alpha", "parallelism_config",
    ),
    "the resumed run would continue with another loss": (
        "loss_type", "loss_weights", "desirable_weight", "undesirable_weight", "label_smoothing", "ld_alpha", "f_divergence_type", "f_alpha_divergence_coef", "use_weighting",
        "discopop_tau", "label_smoothing_factor", "label_names", "assistant_only_loss", "completion_only_loss",
        "average_tokens_across_devices", "router_aux_loss_coef", "center_rewards_coefficient",
        "algorithm", "beta", "epsilon", "epsilon_high", "delta", "scale_rewards", "num_iterations", "importance_sampling_level",
        "mask_truncated_completions", "off_policy_mask_threshold", "top_entropy_quantile", "use_bias_correction_kl",
        "entropy_coef", "entropy_coef_delta", "entropy_coef_max", "entropy_coef_min", "entropy_target", "use_adaptive_entropy",
        "sapo_temperature_neg", "sapo_temperature_pos", "vespo_k_neg", "vespo_k_pos", "vespo_lambda_neg", "vespo_lambda_pos",
        "sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps", "disable_dropout", "cast_lm_head_to_fp32",
        "vllm_importance_sampling_correction", "vllm_importance_sampling_mode", "vllm_importance_sampling_cap",
        "vllm_importance_sampling_clip_max", "vllm_importance_sampling_clip_min",
        "teacher_dtype", "teacher_model_revision", "teacher_shots", "teacher_condition", "teacher_top_logprobs",
    ),
    "the resumed run would continue with other rewards": ("rewards", "multi_objective_aggregation"),
    "the resumed run would continue with other rollouts": (
        "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_resamples", "generation_kwargs",
        "chat_template_kwargs", "max_tool_calling_iterations",
    ),
}  # fmt: skip
REASON = "a resumed run continues under the settings of its first part"  # for a setting in no class

LENGTH = ("max_steps", "num_train_epochs")  # their effect depends on the schedule
# Settings by what a change does.
CHANGING: Mapping[str, tuple[str, ...]] = {
    "the learning rate follows the new schedule": ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps"),
    "the run computes in this precision": ("bf16", "fp16", "tf32"),
    "the best checkpoint is chosen by other scores, which cannot be compared with the earlier ones": (
        "metric_for_best_model", "greater_is_better", "ema_for_evaluation", "load_best_model_at_end",
    ),
    "the rows of the current epoch begin again if it is true": ("ignore_data_skip",),
    "weights are those of the checkpoint all the same, so make sure that both names mean the same model": ("model_name_or_path",),
    "the run continues with this teacher, so make sure that both names mean the same content": (
        "teacher_model_name_or_path", "teacher_base_url", "teacher_system_file", "teacher_examples",
    ),
    "completions come from this engine": ("use_vllm",),
    "prompts are chosen by this file, so make sure that both files have the same pass rates": ("headroom",),
}  # fmt: skip

SEPARATE = (
    "datasets", "replay_datasets", "per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation",
    "tokenizer_name_or_path",
)  # fmt: skip

FREE = (
    # folders, logs, trackers, checkpoints, the Hub
    "output_dir", "dry_run", "run_name", "project", "report_to", "disable_tqdm", "debug", "log_level", "log_level_replica",
    "log_on_each_node", "logging_first_step", "logging_nan_inf_filter", "logging_steps", "logging_strategy", "log_samples",
    "log_completions", "log_completions_hub_repo", "log_multimodal", "log_unique_prompts", "num_completions_to_print",
    "trackio_bucket_id", "trackio_space_id", "trackio_static_space_id", "include_num_input_tokens_seen", "skip_memory_metrics",
    "save_steps", "save_strategy", "save_total_limit", "save_only_model", "save_on_each_node", "enable_jit_checkpoint",
    "resume_from_checkpoint", "restore_callback_states_from_checkpoint", "preemption_dir", "preemption_signal",
    "push_to_hub", "hub_model_id", "hub_private_repo", "hub_revision", "hub_strategy", "hub_always_push", "trust_remote_code",
    # evaluations and checks
    "do_train", "do_eval", "do_predict", "eval_datasets", "eval_strategy", "eval_steps", "eval_delay", "eval_on_start",
    "eval_accumulation_steps", "eval_do_concat_batches", "eval_use_gather_object", "eval_packing", "batch_eval_metrics",
    "bf16_full_eval", "fp16_full_eval", "include_for_metrics", "prediction_loss_only", "per_device_eval_batch_size",
    "generation_eval_samples", "generation_eval_match", "max_new_tokens", "num_generations_eval", "guard_datasets", "guard_margin",
    "guard_match", "guard_samples", "health", "reference_check", "parity_every", "parity_rows", "parity_tolerance", "preflight_samples",
    "max_bad_fraction", "max_damaged_fraction", "max_dropped_fraction", "max_ungraded_fraction",
    # how the same numbers are computed, up to rounding
    "attn_implementation", "score_responses_only", "share_prompts", "cuda_graphs", "compile_blocks", "torch_compile",
    "torch_compile_backend", "torch_compile_mode", "activation_checkpointing", "activation_checkpointing_kwargs",
    "activation_offloading", "auto_batch", "auto_batch_memory", "auto_find_batch_size", "pad_to_multiple_of", "padding_free",
    "full_determinism", "use_cpu", "use_cache", "cache_implementation", "use_liger_kernel", "liger_kernel_config",
    "torch_empty_cache_steps", "reward_workers", "reward_deadline", "teacher_api_key_env", "teacher_concurrency", "teacher_timeout",
    "dataloader_in_order", "dataloader_multiprocessing_context", "dataloader_num_workers", "dataloader_persistent_workers",
    "dataloader_pin_memory", "dataloader_prefetch_factor", "dataset_num_proc", "remove_unused_columns",
    "ddp_backend", "ddp_broadcast_buffers", "ddp_bucket_cap_mb", "ddp_find_unused_parameters", "ddp_static_graph", "ddp_timeout",
    "precompute_ref_log_probs", "precompute_ref_batch_size", "local_rank", "fsdp", "fsdp_config", "deepspeed", "ds3_gather_for_generation",
    "vllm_server_base_url", "vllm_server_timeout", "vllm_weights_dir",
    # accepted with their default only, or without effect here
    "chat_template_path", "dataset_kwargs", "eos_token", "pad_token", "truncation_mode", "model_init_kwargs", "teacher_model_init_kwargs", "use_transformers_paged",
    "use_transformers_continuous_batching", "transformers_continuous_batching_config", "vllm_enable_sleep_mode",
    "vllm_gpu_memory_utilization", "vllm_group_port", "vllm_max_model_length", "vllm_mode", "vllm_model_impl",
    "vllm_server_host", "vllm_server_port", "vllm_structured_outputs_regex", "vllm_tensor_parallel_size",
)  # fmt: skip


def reason_to_refuse(key: str) -> str | None:
    """Return why a resumed run may not change a setting; None if it may, or if the setting is compared in another way."""
    for reason, keys in SAME.items():
        if key in keys:
            return reason
    may_change = (*SEPARATE, *FREE, *LENGTH, *(name for keys in CHANGING.values() for name in keys))
    return None if key in may_change else REASON


def effect_of_change(key: str) -> str | None:
    """Return what a change of a setting does to a resumed run; None if the setting is not in `CHANGING`."""
    return next((effect for effect, keys in CHANGING.items() if key in keys), None)
