"""The reference model of a trainer: always the model that the run starts from, whatever it was loaded or merged from.

    all weights trained        a frozen copy of the policy, taken before the first step; also for a start that was merged in memory
    a new adapter              the policy with its adapter disabled: the adapter has no effect yet
    an adapter that has one    a frozen copy of the adapter beside it; it is never saved
    precompute_ref_log_probs   log-probabilities computed before the run, as columns of the data; then no reference is kept

TRL loads the reference from the path in the model's config, which is another model where adapters were merged or weights trained in
memory, and keys its cache of log-probabilities by data and weights alone: those of a causal mask would be taken for ours. Here they
are keyed by everything that they depend on (`StartReference._key`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from accelerate.utils import broadcast_object_list
from datasets import Dataset, concatenate_datasets
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.tuners.trainable_tokens import TrainableTokensLayer
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from transformers import HrmTextForCausalLM, PreTrainedModel, Trainer

from hrm_align.data.cache import can_be_used, find, hash_key, prepared
from hrm_align.data.packing import read_lengths
from hrm_align.errors import UserError
from hrm_align.models.prefix_mask import is_installed
from hrm_align.progress import stage
from hrm_align.trainers.launch import NO_SHARDED_REFERENCE

_Base: Any = Trainer if TYPE_CHECKING else object

ADAPTER = "default"  # the adapter that is trained; TRL knows no other name
REFERENCE_ADAPTER = "ref"  # TRL's copy of it
_VALUES = "reference.safetensors"
_HASHED_ROWS = 10_000  # rows hashed at a time
_LIBRARIES = ("torch", "transformers", "trl", "peft")


# The model ------------------------------------------------------------------------------------------------------------


def frozen_copy(model: HrmTextForCausalLM) -> HrmTextForCausalLM:
    """Return a copy of a model, with weights of its own that are not trained.

    Args:
        model: the policy before its first step, not sharded.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for name, value in vars(module).items():
            if name.endswith("_hooks"):  # hooks of an earlier trainer, which would be copied with that trainer
                memo[id(value)] = type(value)()
    reference: HrmTextForCausalLM = copy.deepcopy(model, memo)
    for module in reference.modules():
        for name in [name for name in vars(module) if callable(getattr(type(module), name, None))]:
            delattr(module, name)  # methods that an earlier trainer has replaced, which would run the original model
    return reference.requires_grad_(False).eval()


def settle_adapter(model: PeftModel) -> None:
    """Complete TRL's copy of a trained adapter, and never save it; remove the copy of an adapter that has no effect yet.

    Args:
        model: the policy of a TRL trainer before its first step.
    """
    if REFERENCE_ADAPTER not in model.peft_config:
        return
    if is_new(model):
        model.delete_adapter(REFERENCE_ADAPTER)
        return
    for name, weight in model.named_parameters():
        parts = name.split(".")
        if REFERENCE_ADAPTER in parts:  # TRL copies no adapter of an embedding and no trained tokens
            own = [ADAPTER if part == REFERENCE_ADAPTER else part for part in parts]
            weight.data.copy_(model.get_parameter(".".join(own)).data)
    saved: Any = model
    saved.save_pretrained = partial(model.save_pretrained, selected_adapters=[ADAPTER])


def is_new(model: PeftModel) -> bool:
    """Return whether an adapter has no effect: its B is zero, and its trained tokens are those of the base."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            for weights in (module.lora_B, module.lora_embedding_B):
                if ADAPTER in weights and any(part.any() for part in _tensors(weights[ADAPTER])):
                    return False
        elif isinstance(module, TrainableTokensLayer):
            trained, originals = module.trainable_tokens_delta, module.trainable_tokens_original
            if ADAPTER in trained and not torch.equal(trained[ADAPTER], originals[ADAPTER]):
                return False
    return True


def _tensors(part: nn.Module | Tensor) -> list[Tensor]:
    return [part] if isinstance(part, Tensor) else list(part.parameters())


@contextmanager
def kept_checkpointing(model: Any) -> Iterator[None]:
    """Restore how activations are recomputed: TRL turns it off for the reference, and on again for every layer."""
    names = ("gradient_checkpointing", "_gradient_checkpointing_func")
    before = [(layer, name, vars(layer)[name]) for layer in model.modules() for name in names if name in vars(layer)]
    is_used = any(name == names[0] and value for _, name, value in before)
    try:
        yield
    finally:
        for layer, name, value in before if is_used else ():
            setattr(layer, name, value)


# The trainer ----------------------------------------------------------------------------------------------------------


class StartReference(_Base):
    """Mixin, before all others, for TRL's trainers of preferences: the reference is the model that the run starts from.

    Attributes:
        TOKEN_COLUMNS: columns of token ids, on which the reference's log-probabilities depend.
        REFERENCE_COLUMNS: columns for the results of TRL's `compute_ref_log_probs`, in its order; None is left out.

    Raises:
        UserError: if the processes shard the model.
    """

    TOKEN_COLUMNS: ClassVar[tuple[str, ...]]
    REFERENCE_COLUMNS: ClassVar[tuple[str, ...]]

    ref_model: Any
    train_dataset: Any
    eval_dataset: Any

    def __init__(self, *, model: Any, args: Any, **kwargs: Any):
        precompute, self._start = bool(args.precompute_ref_log_probs), ""
        if precompute:
            self._start = weights_digest(model)
        args = copy.copy(args)
        args.precompute_ref_log_probs = False  # TRL would take its own cache
        reference = None if isinstance(model, PeftModel) else frozen_copy(model)
        super().__init__(model=model, args=args, ref_model=reference, **kwargs)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise UserError(NO_SHARDED_REFERENCE)
        bare = self.accelerator.unwrap_model(self.model)
        if isinstance(bare, PeftModel):
            settle_adapter(bare)
        if precompute:
            self._precompute(self.args)

    def _precompute(self, args: Any) -> None:
        """Replace the reference by columns of the data sets."""
        sizes = (args.per_device_train_batch_size, args.per_device_eval_batch_size)
        train, held_out = (args.precompute_ref_batch_size or size for size in sizes)
        self.train_dataset = self._precompute_ref_logps(self.train_dataset, "train", train)
        if self.eval_dataset is not None:
            self.eval_dataset = self._precompute_ref_logps(self.eval_dataset, "eval", held_out)
        self.args.precompute_ref_log_probs = self.precompute_ref_logps = True
        self.ref_model = None

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset  # rendered and tokenized by hrm_align.data

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Return a data set with the reference's log-probabilities, from the cache or computed by all processes together."""
        key, stored = broadcast_object_list(self._look_up(dataset, batch_size))
        if stored is not None:
            return with_columns(dataset, stored)
        what = f"log-probabilities of the reference, {len(dataset):,} rows ({name})"
        with stage(f"computing the {what}"):
            values = self._compute_reference(dataset, batch_size)

        def write(folder: Path) -> dict[str, Any]:
            save_file(values, folder / _VALUES)
            return {}

        if self.accelerator.is_main_process and can_be_used():
            prepared(key, what, sum(part.nbytes for part in values.values()), write)
        self.accelerator.wait_for_everyone()
        return with_columns(dataset, values)

    def _look_up(self, dataset: Dataset, batch_size: int) -> list[Any]:
        """Return on the main process the key of a data set's log-probabilities, and the columns if the cache has them."""
        if not self.accelerator.is_main_process:
            return [None, None]
        key = self._key(dataset, batch_size)
        folder = find(key)
        return [key, None if folder is None else load_file(folder / _VALUES)]

    def _key(self, dataset: Dataset, batch_size: int) -> str:
        """Return the key of log-probabilities: weights, tokens, mask rule, and how they are computed."""
        config: Any = self.accelerator.unwrap_model(self.model).config
        return hash_key(
            "log-probabilities of the reference",
            self._start,
            rows_digest(dataset, self.TOKEN_COLUMNS),
            # the rule of the mask, and the control tokens that it reads
            [_code_of_models(), is_installed(), {**config.to_dict(), "_name_or_path": None}],
            # what changes the rounding, so that results do not depend on which run has computed them
            [config._attn_implementation, str(self.accelerator.mixed_precision), self.args.device.type, batch_size],
            [f"{name} {metadata.version(name)}" for name in _LIBRARIES],
            self._reference_settings(),
        )

    def _reference_settings(self) -> list[Any]:
        """Return the settings, as JSON values, on which `compute_ref_log_probs` depends."""
        return []

    def _compute_reference(self, dataset: Dataset, batch_size: int) -> dict[str, np.ndarray]:
        """Compute the columns (n,) with all processes; a batch has rows of like length, the same for every number of processes."""
        order = np.argsort(_row_lengths(dataset, self.TOKEN_COLUMNS), kind="stable")
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        model = self.model if self.ref_model is None else self.ref_model
        values = torch.zeros(len(self.REFERENCE_COLUMNS), len(dataset), device=self.accelerator.device)
        present = [False] * len(self.REFERENCE_COLUMNS)
        for rows in batches[rank::world]:
            batch = self.data_collator([dataset[int(row)] for row in rows])
            results = self.compute_ref_log_probs(model, self._prepare_inputs(batch))
            for number, result in enumerate(results):
                if result is not None:
                    values[number, torch.as_tensor(rows, device=values.device)] = result.float()
                    present[number] = True
        whole = self.accelerator.reduce(values, "sum").cpu().numpy()  # every row was computed by one process
        has = self.accelerator.reduce(torch.tensor(present, device=values.device).long(), "sum").tolist()
        names = zip(self.REFERENCE_COLUMNS, whole, has, strict=True)
        return {name: column for name, column, is_there in names if is_there}


def with_columns(dataset: Dataset, columns: dict[str, np.ndarray]) -> Dataset:
    """Return a data set with more columns, one value (n,) each; the rows of the other columns are not copied."""
    table, chosen = Dataset(dataset.data), dataset._indices
    places = np.arange(len(dataset)) if chosen is None else chosen.column(0).to_numpy()
    parts = {}
    for name, values in columns.items():
        parts[name] = np.full(len(table), np.nan, np.float32)
        parts[name][places] = values
    whole = concatenate_datasets([table, Dataset(pa.table(parts))], axis=1)
    return whole if chosen is None else whole.select(places)


# Digests --------------------------------------------------------------------------------------------------------------


def weights_digest(model: PreTrainedModel | PeftModel) -> str:
    """Return the SHA-256 of the weights of the reference; a new adapter, which has no effect, does not count."""
    skipped: set[str] = set()
    if isinstance(model, PeftModel) and is_new(model):
        skipped = {name for name, weight in model.named_parameters() if weight.requires_grad}
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name not in skipped and isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def rows_digest(dataset: Dataset, columns: Sequence[str]) -> str:
    """Return the SHA-256 of columns that hold lists of token ids, in the order of the rows."""
    digest = sha256()
    for part in dataset.select_columns([*columns]).with_format("arrow").iter(_HASHED_ROWS):
        for name in columns:
            lists = part.column(name).combine_chunks()
            digest.update(np.asarray(pc.list_value_length(lists), np.int64).tobytes())
            digest.update(np.asarray(pc.list_flatten(lists), np.int64).tobytes())
    return digest.hexdigest()


def _row_lengths(dataset: Dataset, columns: Sequence[str]) -> np.ndarray:
    """Return the numbers of tokens of the rows, (n,)."""
    if "length" in dataset.column_names:
        return read_lengths(dataset)
    return np.array([sum(len(row[name]) for name in columns) for row in dataset.select_columns([*columns])])


@lru_cache
def _code_of_models() -> str:
    """Return the SHA-256 of the code that builds the mask and runs the model."""
    files = sorted((Path(__file__).parent.parent / "models").glob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
