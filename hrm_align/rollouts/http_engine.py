"""HTTP engine: sample completions from a vLLM server, and hand it the weights of the model in training.

    engine = HttpEngine("http://localhost:8000", end_id, folder)
    engine.connect(prompts, decoding, context, seconds=240, in_float32=True)  # checks the server; once
    engine.sync(model)  # writes the weights into `folder`, where the server reads them
    engine.submit(Request(prompt_ids, seeds=(1, 2), decoding=decoding))

Every completion is a request of its own. Its tokens come as events when it has ended, because the server returns a completion as a
whole. What a completion draws depends on its seed, and by rounding also on the server's batches.

vLLM reads a whole prefill as prefix. It prefills again where it has pre-empted a request, and then reads the answer as prefix too, so
a server that has pre-empted any request stops the run. A prompt longer than a step of the server is never answered; `connect` refuses
such a server.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import HrmTextForCausalLM, PreTrainedModel

from hrm_align.errors import RunError, UserError, join_names
from hrm_align.models.weight_files import save_weights
from hrm_align.progress import say, stage
from hrm_align.rewards.judge_client import Names, Unanswered
from hrm_align.rollouts.distributed import share_out
from hrm_align.rollouts.engine import MAX_RUNNING, Completion, Decoding, Event, Handle, Request
from hrm_align.rollouts.http_server import HttpServer, Limits, LoopThread, find_budget_fault

NAMES = Names("the server of vllm_server_base_url", "the deadline", "vllm_server_base_url", "model", "key")
POLL_SECONDS = 1.0  # between two looks at a server that does not answer yet
WEIGHTS = "model.safetensors"


class HttpEngine:
    """Engine that samples from a server. See `Engine` for its methods; `connect` first.

    Args:
        url: address of the server.
        end_id: id of the end token.
        folder: folder for the weights, which the server must be able to read under the same path.

    Raises:
        UserError: for an invalid address.
    """

    def __init__(self, url: str, end_id: int, folder: Path):
        self._server, self._end_id, self._folder = HttpServer(url, NAMES), end_id, folder.absolute()
        self._preempted = 0
        self._waiting: dict[tuple[Handle, int], Request] = {}
        self._next_handle = self._syncs = 0
        self._session: _Session | None = None

    def submit(self, request: Request) -> Handle:
        """See `Engine`."""
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._waiting |= {(handle, index): request for index in range(len(request.seeds))}
        return handle

    def step(self) -> list[Event]:
        """Wait until a completion has ended; returns its tokens as events, and an empty list if no request runs or waits.

        Raises:
            RunError: if the server does not answer, or has pre-empted a request.
        """
        if self._session is None:
            if not self._waiting:
                return []
            self._session = _Session(self._server, self._end_id)
        session = self._session
        try:
            while self._waiting and len(session) < MAX_RUNNING:
                place = next(iter(self._waiting))
                session.start(place, self._waiting.pop(place))
            events = [event for place, completion in session.wait() for event in _events(place, completion)]
        except Unanswered as failure:
            self.close()
            raise RunError(f"{self._name} did not answer: {failure.detail}. {_RESUME}") from None
        except BaseException:
            self.close()
            raise
        if not session and not self._waiting:
            self.close()
            self._check_preemptions()
        return events

    def cancel(self, handle: Handle) -> None:
        """See `Engine`. The server stops at once."""
        self._waiting = {place: request for place, request in self._waiting.items() if place[0] != handle}
        if self._session is not None:
            self._session.cancel(handle)

    def sync(self, weights: Any) -> None:
        """Hand over the weights of a model, an adapter merged; or of a checkpoint folder in the fused layout.

        In a run of several processes all must call this function; the main process hands the weights over.

        Raises:
            RunError: if the server does not read them.
        """
        assert self._session is None, "cancel the running requests, or step until they have ended"

        def hand_over(_: object) -> list[None]:
            try:
                if isinstance(weights, str | Path):
                    self._server.reload(Path(weights).absolute())
                else:
                    self._write_and_reload(weights)
            except Unanswered as failure:
                raise RunError(
                    f"{self._name} did not read the new weights: {failure.detail}. It must be able to read {self._folder} under "
                    f"this path (set vllm_weights_dir to a folder that both share), and vLLM ends where it cannot: start it again. "
                    f"{_RESUME}"
                ) from None
            return [None]

        share_out([None], hand_over)

    def close(self) -> None:
        """See `Engine`."""
        self._waiting = {}
        if self._session is not None:
            self._session.close()
            self._session = None

    def _write_and_reload(self, model: nn.Module) -> None:
        self._syncs += 1
        folder = self._folder / f"weights-{self._syncs}"  # a new name, because NFS may cache the content of an old one
        shutil.rmtree(folder, ignore_errors=True)  # of a killed run
        try:
            folder.mkdir(parents=True)
            with merged_weights(model) as named:
                save_weights(named, folder / WEIGHTS)
            self._server.reload(folder)
        except OSError as error:
            raise RunError(f"cannot write the weights for the server to {folder}: {error.strerror or error}.") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                self._folder.rmdir()

    # Checks -------------------------------------------------------------------------------------------------------

    def connect(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, context: int, seconds: float, in_float32: bool
    ) -> None:
        """Wait for the server, and check its settings.

        Args:
            prompts: all prompts, as token ids.
            decoding: sampling settings.
            context: the model's longest prompt and completion together, in tokens.
            seconds: how long to wait for the server to start.
            in_float32: whether the trainer computes in float32.

        Raises:
            UserError: if the server does not answer, or has settings with which answers would be wrong or missing.
        """
        self._await(seconds)
        try:
            self._server.model = next(iter(self._server.models()), "")
            limits = self._server.limits()
            if not limits.is_open:
                self._refuse("accepts no new weights. Start it with VLLM_SERVER_DEV_MODE=1 in its environment")
            longest = max(prompts, key=len)
            self._check_limits(limits, len(longest) + decoding.max_new_tokens, decoding, in_float32)
            fault = find_budget_fault(self._server, limits, longest, context, self._end_id, seconds)
            if fault:
                room = limits.context or context
                self._refuse(f"cannot answer every prompt: {fault}. Start it with --max-num-batched-tokens {room}")
            preempted = self._server.preemptions()
        except Unanswered as failure:
            self._refuse(f"does not answer: {failure.detail}. Start it again")
        if preempted is None:
            self._refuse("counts no pre-emptions, after which answers are wrong. Start it without --disable-log-stats")
        self._preempted = preempted

    def _await(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self._server.page("/health") is not None:
                    return
                detail = "its page /health has an error"
            except Unanswered as failure:
                detail = failure.detail
            if time.monotonic() > deadline:
                self._refuse(
                    f"does not answer within {seconds:g} seconds ({detail}). Start it, or set vllm_server_timeout to the seconds "
                    "that it takes to start"
                )
            time.sleep(POLL_SECONDS)

    def _check_limits(self, limits: Limits, longest: int, decoding: Decoding, in_float32: bool) -> None:
        if limits.context is not None and limits.context < longest:
            self._refuse(
                f"has room for {limits.context} tokens, and the longest prompt with max_completion_length takes {longest}. Start it "
                f"with --max-model-len {longest}, or lower max_completion_length"
            )
        if in_float32 and limits.dtype not in (None, "float32"):
            self._refuse(
                f"computes in {limits.dtype}, and this run in float32. Start it with --dtype float32, or train with bf16: true"
            )
        scaled, cut = decoding.temperature != 1, bool(decoding.top_k) or decoding.top_p < 1
        if limits.logprobs_mode is None:
            return
        if scaled and cut:
            self._refuse(
                "returns no log-probabilities after the temperature and before top_k and top_p. Set temperature to 1, or leave out "
                "top_k and top_p"
            )
        wanted = "processed_logprobs" if scaled else "raw_logprobs"
        if (scaled or cut) and limits.logprobs_mode != wanted:
            reason = "the temperature is not 1" if scaled else "top_k or top_p is set"
            self._refuse(f"returns {limits.logprobs_mode}, and {reason}. Start it with --logprobs-mode {wanted}")

    def _check_preemptions(self) -> None:
        try:
            preempted = self._server.preemptions()
        except Unanswered as failure:
            raise RunError(f"{self._name} did not answer: {failure.detail}. {_RESUME}") from None
        if preempted != self._preempted:
            raise RunError(
                f"{self._name} has pre-empted requests while it drew these answers (vllm:num_preemptions went from {self._preempted} "
                f"to {preempted}): vLLM then reads an answer as part of its prompt, and its log-probabilities are wrong. "
                f"{self._describe_room()} Nothing else may use the server meanwhile. {_RESUME}"
            )

    def _describe_room(self) -> str:
        with suppress(Unanswered):
            tokens, limits = self._server.kv_tokens(), self._server.limits()
            if tokens and limits.context:
                return (
                    f"Its KV cache holds {tokens} tokens: start it with --max-num-seqs {max(1, tokens // limits.context)}, or with "
                    "more memory."
                )
        return "Start it with a smaller --max-num-seqs, or with more memory for its KV cache."

    @property
    def _name(self) -> str:
        return f"the vLLM server {self._server.url}"

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(f"{self._name} {what}.")


_RESUME = "Resume the run with --resume_from_checkpoint true."


def connect_engine(
    args: Any,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    model: PreTrainedModel | PeftModel,
    in_float32: bool,
) -> HttpEngine:
    """Connect to the server of `vllm_server_base_url`, and say what its completions lack.

    Args:
        args: settings of the trainer.
        prompts, decoding, in_float32: see `HttpEngine.connect`.
        model: the model in training.

    Raises:
        UserError: see `HttpEngine.connect`.
    """
    settings: Any = model
    end_id, context = settings.generation_config.eos_token_id, settings.config.max_position_embeddings
    folder = Path(args.vllm_weights_dir or Path(args.output_dir) / "vllm_weights")
    engine = HttpEngine(args.vllm_server_base_url, end_id, folder)
    with stage(f"connecting to the vLLM server {args.vllm_server_base_url}"):
        engine.connect(prompts, decoding, context, args.vllm_server_timeout, in_float32)
    say(
        "completions come from vLLM: they depend on the server's batches by rounding, so neither a second run nor a resumed one "
        "repeats them exactly"
    )
    return engine


def _events(place: tuple[Handle, int], completion: Completion) -> Iterator[Event]:
    last = len(completion.ids) - 1
    for step, (token, logprob) in enumerate(zip(completion.ids, completion.logprobs, strict=True)):
        yield Event(*place, token, logprob, completion.finish if step == last else None)


class _Session:
    """Requests that run at the same time; `len` counts them."""

    def __init__(self, server: HttpServer, end_id: int):
        self._server, self._end_id = server, end_id
        self._loop, self._client = LoopThread(), server.client(tokens=2**14)
        self._running: dict[Future[Completion], tuple[Handle, int]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def start(self, place: tuple[Handle, int], request: Request) -> None:
        seed = request.seeds[place[1]]
        work = self._server.complete(self._client, request.prompt_ids, seed, request.decoding, self._end_id)
        self._running[self._loop.start(work)] = place

    def wait(self) -> list[tuple[tuple[Handle, int], Completion]]:
        """Wait until a completion has ended; returns those that have. Raises Unanswered for a request without an answer."""
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        return [(self._running.pop(future), future.result()) for future in done]

    def cancel(self, handle: Handle) -> None:
        for future in [future for future, place in self._running.items() if place[0] == handle]:
            del self._running[future]
            future.cancel()

    def close(self) -> None:
        for future in self._running:
            future.cancel()
        self._running.clear()
        self._loop.start(self._client.__aexit__()).result()
        self._loop.close()


@contextmanager
def merged_weights(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Merge the adapter of a model in a `with` block; yields the tensors by the names of a model without adapter.

    Afterwards the base has its own tensors again, so that rounding does not change it.

    Args:
        model: an HrmTextForCausalLM, which is left as it is, or a PeftModel of one.

    Raises:
        RunError: if the names are not those of a model without adapter.
    """
    if not isinstance(model, PeftModel):
        yield model.state_dict()
        return
    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    own = [(weight, weight.data) for layer in layers for weight in _base_parameters(layer)]
    adapted: Any = model
    device = own[0][1].device.type if own else "cpu"
    try:
        with torch.no_grad(), torch.autocast(device, enabled=False):  # which would round the change by the adapter
            for weight, data in own:
                weight.data = data.clone()
            adapted.merge_adapter()
        yield _plain_names(model)
    finally:
        with torch.no_grad(), torch.autocast(device, enabled=False):
            adapted.unmerge_adapter()
        for weight, data in own:
            weight.data = data


def _base_parameters(layer: Any) -> list[nn.Parameter]:
    return [*layer.get_base_layer().parameters(recurse=False)]


def _plain_names(model: PeftModel) -> dict[str, Tensor]:
    base: Any = model.get_base_model()
    with torch.device("meta"):
        expected = HrmTextForCausalLM(base.config).state_dict().keys()
    named = {}
    for name, tensor in base.state_dict().items():
        plain = name.replace(".token_adapter.", ".").replace(".base_layer.", ".")
        if plain in expected:
            named[plain] = tensor
    if missing := sorted(expected - named.keys()):
        raise RunError(
            f"the adapter hides the base's weights {join_names(missing)}, so they cannot be handed to the server."
        )
    return named
