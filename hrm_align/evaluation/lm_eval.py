"""Backend of EleutherAI's lm-evaluation-harness (lm_eval): its tasks on HRM-Text, with the layout and the mask of training.

    hrm-align lm_eval run --model hrm --model_args pretrained=runs/mine,condition=direct --tasks arc_challenge --num_fewshot 25

lm_eval's own `hf` backend puts context and continuation into one causal sequence, which is not the layout of this model. Here a context
is the prefix, `<|im_start|> condition context <|im_end|>`, and a continuation is the response. After `import hrm_align` the backend is
registered as `hrm` (`hrm_align/__init__.py`).

Source: lm_eval 0.4.13, `lm_eval/api/model.py`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from torch import Tensor

from hrm_align.errors import UserError
from hrm_align.models.adapters import load_named
from hrm_align.models.loading import default_device
from hrm_align.progress import counting
from hrm_align.rendering import DEFAULT_CONDITION, Message, get_renderer, parse_condition
from hrm_align.rollouts.engine import Decoding
from hrm_align.rollouts.local import sample
from hrm_align.rollouts.logprobs import CHUNK_TOKENS, chunks, group_answers, pack, packs_in_one_row

MAX_NEW_TOKENS = 256  # of a task that states no limit; the default of lm_eval
_DECODING = ("temperature", "top_k", "top_p")
_STOPS = ("until", "max_gen_toks", "do_sample")


class Conversation(str):
    """Context of a request under `--apply_chat_template`: the messages as JSON, which the request renders."""


class HrmLM(LM):
    """HRM-Text as a model of lm_eval.

    Args:
        pretrained: checkpoint folder, adapter folder, Hub id, or `tiny`.
        condition: condition of all prompts; several joined by `+`, because `--model_args` separates by commas (synth+cot).
        batch_size: requests that run at the same time.
        device: cpu, cuda, or mps; None for the accelerator if there is one. Each process of a launch has its own.
        dtype: precision of the weights; `auto` for that of the checkpoint.
        max_gen_toks: longest answer of tasks that state no limit, in tokens.
        seed: seed of tasks that sample.
        max_batch_size: not used; lm_eval passes it.

    Raises:
        UserError: if the model cannot be loaded, the condition is unknown, or the batch size is not a number.
    """

    def __init__(
        self,
        pretrained: str,
        condition: str = DEFAULT_CONDITION,
        batch_size: int | str = 64,
        device: str | None = None,
        dtype: str = "auto",
        max_gen_toks: int = MAX_NEW_TOKENS,
        seed: int = 0,
        max_batch_size: int | None = None,
        **unknown: Any,
    ):
        super().__init__()
        if unknown:
            raise UserError(
                f"--model_args: unknown argument {next(iter(unknown))}. Use pretrained, condition, dtype, max_gen_toks or seed."
            )
        self._condition = ",".join(parse_condition(str(condition).replace("+", ",")))
        self._batch_size = _read_batch_size(batch_size)
        self._model, self._tokenizer = load_named(str(pretrained), device=_device(device), dtype=str(dtype))
        self._renderer = get_renderer(self._tokenizer)
        self._name, self._longest, self._seed = str(pretrained), int(max_gen_toks), int(seed)
        self._positions: int = self._model.config.max_position_embeddings
        self._device = next(self._model.parameters()).device
        state = PartialState()
        self._has_conversations = False  # whether contexts come from `apply_chat_template`
        self._rank, self._world_size = state.process_index, state.num_processes

    # Prompts ------------------------------------------------------------------------------------------------------

    @property
    def tokenizer_name(self) -> str:
        """Name of model and condition, which lm_eval uses in the keys of its caches."""
        return f"{self._name}__{self._condition}".replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return what lm_eval writes into its results as the template; None without `--apply_chat_template`."""
        return f"hrm_align.rendering, condition {self._condition}" if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> Any:
        """Return the context of a conversation, which the requests render."""
        self._has_conversations = True
        return Conversation(json.dumps(chat_history, ensure_ascii=False))

    def _prompt(self, request: Instance) -> tuple[list[int], str]:
        """Return the prefix of a context, and the text that the response begins with: `gen_prefix` of a task, or ""."""
        context = request.args[0]
        if not context.strip():
            raise UserError(
                f"{_place(request)}: the context is empty, and this model has no layout for text without a question. Use a task or a "
                "metric that scores answers to questions (not acc_mutual_info)."
            )
        if not isinstance(context, Conversation):
            if self._has_conversations:
                raise UserError(
                    f"{_place(request)}: the task changes the context after the chat template was applied, so that its messages can no "
                    "longer be read. Leave --apply_chat_template out."
                )
            return self._renderer.prompt(context, self._condition), ""
        messages = [Message(m["role"], m["content"]) for m in json.loads(context)]
        begun = messages.pop().content if messages[-1].role == "assistant" else ""
        return self._renderer.prompt(messages, self._condition), begun

    # Requests -----------------------------------------------------------------------------------------------------

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Score continuations.

        A continuation is encoded as a response, without the space that separates it from its context, and without an end token.

        Returns:
            For each request the log-probability of the continuation in nats, and whether greedy decoding would produce it.

        Raises:
            UserError: for an empty context or continuation, or a request that is longer than the model's positions.
        """
        prompts, answers, starts = [], [], []
        for request in requests:
            continuation = request.args[1]
            prompt, begun = self._prompt(request)
            prefix = self._renderer.plain(begun)
            answer = self._renderer.plain((begun + continuation).lstrip())
            if len(answer) <= len(prefix) or answer[: len(prefix)] != prefix:
                answer = prefix + self._renderer.plain(continuation if begun else continuation.lstrip())
            if len(answer) == len(prefix):
                raise UserError(
                    f"{_place(request)}: the continuation is empty. Check doc_to_choice and doc_to_target of the task."
                )
            self._check_room(request, len(prompt), len(answer))
            prompts.append(torch.tensor(prompt))
            answers.append(torch.tensor(answer))
            starts.append(len(prefix))
        scores: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        limit = max(CHUNK_TOKENS, self._positions) if self._batch_size > 1 else 0
        with counting("scoring continuations", len(requests), "continuations") as done:
            for groups in chunks(group_answers(prompts, answers), limit):
                for row, logprobs, greedy in self._score(groups):
                    own = slice(starts[row], None)
                    scores[row] = (logprobs[own].double().sum().item(), bool(greedy[own].all()))
                    done.advance(1)
        for request, score in zip(requests, scores, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, score)
        return scores

    @torch.no_grad()
    def _score(self, groups: Sequence[Any]) -> list[tuple[int, Tensor, Tensor]]:
        """Score the answers of prompts, each prompt computed once.

        Returns:
            For each answer its row, its log-probabilities (tokens,), and whether each token is the most probable one (tokens,).
        """
        packed = pack(groups, self._renderer.pad_id, packs_in_one_row(self._model.config._attn_implementation))
        names = ("input_ids", "attention_mask", "position_ids")
        inputs = {name: getattr(packed, name).to(self._device) for name in names}
        backbone, head = self._model.get_decoder(), self._model.get_output_embeddings()
        hidden = backbone(**inputs, use_cache=False).last_hidden_state.flatten(0, 1)  # (rows * seq, hidden)
        logits = head(hidden[packed.tokens_to_score.to(self._device)]).float()  # (answer tokens, vocab)
        targets = torch.cat([answer for group in groups for answer in group.answers]).to(self._device)
        logprobs = logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0].cpu()
        greedy = (logits.argmax(-1) == targets).cpu()
        lengths = [len(answer) for group in groups for answer in group.answers]
        return list(zip(packed.rows, logprobs.split(lengths), greedy.split(lengths), strict=True))

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer prompts with our sampler, greedily unless the task samples.

        An answer ends at its end token, before the first of the task's stop texts, or at the task's limit.

        Raises:
            UserError: for a setting of the generation that is not supported, or a prompt that leaves no room for an answer.
        """
        by_decoding: dict[Decoding, list[int]] = defaultdict(list)
        prompts, stops = [], []
        for number, request in enumerate(requests):
            prompt, begun = self._prompt(request)
            if begun:
                raise UserError(
                    f"{_place(request)}: the task begins the answer itself (gen_prefix {begun!r}), and an answer is always generated from its "
                    "beginning. Set gen_prefix to nothing in the task."
                )
            decoding, until = self._decoding(request)
            self._check_room(request, len(prompt), decoding.max_new_tokens)
            by_decoding[decoding].append(number)
            prompts.append(prompt)
            stops.append(until)
        seeds = torch.randint(2**62, (len(requests),), generator=torch.Generator().manual_seed(self._seed)).tolist()
        answers = [""] * len(requests)
        with counting("generating answers", len(requests), "answers") as done:
            for decoding, rows in by_decoding.items():
                rows.sort(key=lambda row: len(prompts[row]))
                drawn = sample(
                    self._model,
                    [prompts[row] for row in rows],
                    [seeds[row] for row in rows],
                    decoding,
                    batch_size=self._batch_size,
                    on_finish=done.advance,
                )
                for row, completion in zip(rows, drawn, strict=True):
                    text = self._tokenizer.decode(completion.ids, skip_special_tokens=True)
                    answers[row] = postprocess_generated_text(text, stops[row], None)
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, answer)
        return answers

    def _decoding(self, request: Instance) -> tuple[Decoding, list[str]]:
        """Return the sampling settings and the stop texts of a request."""
        known: dict[str, Any] = {**normalize_gen_kwargs(dict(request.args[1]), self._longest)}
        if unknown := [name for name in known if name not in (*_DECODING, *_STOPS)]:
            raise UserError(
                f"{_place(request)}: the setting {unknown[0]} of generation_kwargs is not supported. Use until, max_gen_toks, do_sample, "
                f"{', '.join(_DECODING)}."
            )
        until = [stop for stop in known["until"] if stop]
        if not known["do_sample"]:
            return Decoding(known["max_gen_toks"], greedy=True), until
        chosen = {name: known[name] for name in _DECODING if known.get(name) is not None}
        return Decoding(known["max_gen_toks"], **chosen), until

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Refuse: a text without a question has no layout in this model."""
        raise UserError(
            f"{_place(requests[0])}: the task measures the perplexity of whole texts, and this model scores answers to a question only. "
            "Use a task with questions and answers."
        )

    def _check_room(self, request: Instance, prompt: int, answer: int) -> None:
        if prompt + answer > self._positions:
            raise UserError(
                f"{_place(request)}: the prompt has {prompt} tokens and the answer up to {answer}, and the model has {self._positions} "
                "positions. Use fewer examples (--num_fewshot), or a smaller max_gen_toks."
            )

    # Several processes --------------------------------------------------------------------------------------------

    def all_gather(self, tensor: Tensor) -> Tensor:
        """Return the concatenation of a tensor over all processes, each of which gets its own part of the requests."""
        gathered: Tensor = gather(tensor)
        return gathered

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """Return the objects of all processes on process `dst`, None on the others."""
        gathered = gather_object([obj])
        return gathered if self._rank == dst else None

    def barrier(self) -> None:
        """Wait for all processes."""
        PartialState().wait_for_everyone()


def _device(device: str | None) -> torch.device:
    """Return the device of this process. lm_eval's command line says cuda:0 to every process, also where there is no GPU."""
    state = PartialState()
    if state.num_processes > 1:
        return state.device
    is_missing = device is None or (device.startswith("cuda") and not torch.cuda.is_available())
    return default_device() if is_missing else torch.device(str(device))


def _read_batch_size(value: int | str) -> int:
    """Return the batch size; `auto` is 64."""
    if str(value).startswith("auto"):
        return 64
    if not str(value).isdigit() or int(value) < 1:
        raise UserError(f"invalid value for --batch_size: {value}. Use a whole number of 1 or more, or auto.")
    return int(value)


def _place(request: Instance) -> str:
    """Return the task and the number of a request's document."""
    return f"task {request.task_name}, document {request.doc_id}"
