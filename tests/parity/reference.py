"""An independent way to run HRM-Text: Transformers' own forward, unpatched, under a mask drawn token by token.

Written against the model card's words, not against `hrm_align.models.prefix_mask`, and slow on purpose.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from transformers import HrmTextConfig, HrmTextForCausalLM, HrmTextModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from trl.kernels import ChunkedLogProbFunction
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

from hrm_align.models import prefix_mask
from hrm_align.models.loading import load_model

END = 7


def small_model(seed: int = 0, **changes) -> HrmTextForCausalLM:
    """A random fp32 model, two layers a stack; no end token, so that generation runs to its length."""
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16,
        "initializer_range": 32**-0.5, "L_bp_cycles": [0, 3], "pad_token_id": 5, "bos_token_id": 6,
        "max_position_embeddings": 256,
    }  # fmt: skip
    model = HrmTextForCausalLM(HrmTextConfig(**(settings | changes)))
    torch.nn.init.trunc_normal_(model.model.z_L_init, std=1.0, a=-2, b=2)
    return model.eval()


def trained_model() -> HrmTextForCausalLM:
    """The embedded base, whose attention is sharp where that of a random model is flat; it never stops by itself."""
    model = load_model("tiny")
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    return model


def document(prompt: int, response: int) -> torch.Tensor:
    """`<|im_start|>` prompt `<|im_end|>` response `<|box_end|>` of random ids; prompt + response + 3 tokens."""
    text = torch.randint(31, 64, (prompt,))
    answer = torch.randint(31, 64, (response,))
    return torch.cat([torch.tensor([6]), text, torch.tensor([END]), answer, torch.tensor([11])])


class _Float64(TorchFunctionMode):
    """Replaces float32 by float64 wherever a call names it: norms, softmax and TRL's fused head compute in float32."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        # Every operation, and every look at a shape, comes by here: without a function call for each argument.
        narrow, wide = torch.float32, torch.float64
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = [wide if value is narrow else value for value in args]
        if not kwargs:
            return func(*args)
        return func(*args, **{name: wide if value is narrow else value for name, value in kwargs.items()})


@contextmanager
def float64() -> Iterator[None]:
    """Computes everything in float64, for a model to which `.double()` was applied.

    Two right ways to compute the same are then 1e-14 apart on any processor, where in float32 they are up to 1e-5 apart,
    by an amount that depends on the instruction set, the number of threads and the shape of the batch.
    """
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64(), ExitStack() as patches:
            for function in (ChunkedLogProbFunction, ChunkedDivergenceFunction):
                patches.enter_context(mock.patch.object(function, "backward", _in_float64(function.backward)))
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def _in_float64(backward: Any) -> Any:
    """The backward of TRL's function, before which autograd leaves the mode."""

    def wide_backward(*args: Any) -> Any:
        with _Float64():
            return backward(*args)

    return wide_backward


def recomputed_in_float64() -> tuple[AbstractContextManager, AbstractContextManager]:
    """The `context_fn` of `torch.utils.checkpoint`: what is computed again belongs to the backward, too."""
    return nullcontext(), _Float64()


@contextmanager
def unpatched():
    """Transformers as it ships."""
    prefix_mask.uninstall()
    try:
        yield
    finally:
        prefix_mask.install()


def rule_mask(documents: list[list[int]], length: int) -> torch.Tensor:
    """(1, 1, length, length) float mask, of the default dtype, of a row in which the documents stand one behind the other."""
    allowed = [[key == query for key in range(length)] for query in range(length)]
    start = 0
    for tokens in documents:
        prefix = tokens.index(END) + 1
        for query in range(len(tokens)):
            for key in range(len(tokens)):
                both_prompt = query < prefix and key < prefix
                if key <= query or both_prompt:
                    allowed[start + query][start + key] = True
        start += len(tokens)
    return torch.tensor(allowed).logical_not()[None, None] * torch.finfo(torch.get_default_dtype()).min


def reference_logits(model: HrmTextForCausalLM, tokens: list[int] | torch.Tensor) -> torch.Tensor:
    """(seq, vocab) logits of one document alone, teacher-forced."""
    ids = torch.as_tensor(tokens)
    with unpatched(), torch.no_grad():
        mask = rule_mask([ids.tolist()], len(ids))
        return model(ids[None], attention_mask=mask, use_cache=False).logits[0]


@contextmanager
def oracle() -> Iterator[list[list[int]]]:
    """Transformers as it ships, with each row of a batch alone and without padding, under a mask drawn token by token.

    Rows hold one document each; `generate` reads the whole document again for every token, without a cache. Yields the documents
    that were read, in their order.
    """
    documents: list[list[int]] = []
    with unpatched():
        stock, generate = HrmTextModel.forward, HrmTextForCausalLM.generate

        def forward(self, input_ids, attention_mask=None, **_):
            rows = []
            present = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            for ids, is_token in zip(input_ids, present.bool(), strict=True):
                documents.append(ids[is_token].tolist())
                mask = rule_mask([documents[-1]], len(documents[-1]))
                hidden = stock(self, ids[is_token][None], attention_mask=mask, use_cache=False).last_hidden_state[0]
                rows.append(hidden.new_zeros(len(ids), hidden.shape[1]).index_copy(0, is_token.nonzero()[:, 0], hidden))
            return BaseModelOutputWithPast(last_hidden_state=torch.stack(rows))

        def generate_without_cache(self, *args, **kwargs):
            return generate(self, *args, **{**kwargs, "use_cache": False})

        with (
            mock.patch.object(HrmTextModel, "forward", forward),
            mock.patch.object(HrmTextForCausalLM, "generate", generate_without_cache),
        ):
            yield documents


def answer_logprob(model: HrmTextForCausalLM, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """() log-probability of an answer after a prompt, differentiable, in stock Transformers under a mask drawn token by token."""
    tokens = torch.tensor([[*prompt, *answer]])
    mask = rule_mask(tokens.tolist(), tokens.shape[1])
    with unpatched():
        logits = model(tokens, attention_mask=mask, use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(dim=-1).gather(1, torch.tensor(answer)[:, None]).sum()
