"""A server on this machine that speaks vLLM's protocol, and samples with a model of this process. Each fault can be planted."""

import json
import threading
import time
from contextlib import nullcontext
from pathlib import Path

from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.models.prefix_mask import causal_prompt
from hrm_align.models.weight_files import load_weights
from hrm_align.rollouts.engine import Decoding
from hrm_align.rollouts.local import sample
from tests.rewards.judge_server import JudgeServer, Reply, error


class VLLMServer(JudgeServer):
    """A server that draws what the local engine draws with the same seed and weights.

    Args:
        model: checkpoint to start with.
        causal: read prompts causally.
        budget: most tokens of a step; a longer prompt is never answered. None for the context.
        stale: number of the reload from which on it keeps its weights.
        before: tokens that it puts before every prompt.
        preempts: number of completions after which it counts a pre-emption; None for never.
        dev: whether it knows /server_info and /collective_rpc.
        kv_tokens: tokens that its KV cache holds: more at the same time pre-empt a request.
        pages: replies by path, instead of its own.
        dtype, logprobs_mode: what it states.
    """

    def __init__(self, model="tiny", *, causal=False, budget=None, stale=None, preempts=None, before=(), dev=True, kv_tokens=131072,
                 pages=(), dtype="float32", logprobs_mode="processed_logprobs"):  # fmt: skip
        super().__init__(lambda request: error(404), models=("tiny",))
        self.model, self.tokenizer = load_model_and_tokenizer(model)
        self.model.eval()
        self.context = self.model.config.max_position_embeddings
        self.causal, self.budget, self.stale, self.preempts, self.dev = causal, budget, stale, preempts, dev
        self.kv_tokens, self.pages, self.dtype, self.logprobs_mode = kv_tokens, dict(pages), dtype, logprobs_mode
        self.reloads, self.completions, self.preempted, self.failures, self.released = [], 0, 0, [], threading.Event()
        self._busy, self.before = threading.Lock(), [*before]

    def __exit__(self, *error):
        self.released.set()
        super().__exit__(*error)

    def get(self, path):
        path = path.partition("?")[0]
        if path in self.pages:
            return self.pages[path]
        if path == "/health":
            return Reply()
        if path == "/metrics":
            lines = [
                "# TYPE vllm:num_preemptions_total counter",
                f'vllm:num_preemptions_total{{engine="0",model_name="tiny"}} {float(self.preempted)}',
                'vllm:num_preemptions_created{engine="0",model_name="tiny"} 1.79588639923046e+09',
                f'vllm:cache_config_info{{block_size="128",kv_cache_size_tokens="{self.kv_tokens}"}} 1.0',
            ]
            return Reply(body="\n".join(lines).encode())
        if path == "/server_info" and self.dev:
            scheduler = {"max_num_batched_tokens": self.budget or self.context, "max_num_seqs": 128}
            model = {
                "max_model_len": self.context,
                "dtype": f"torch.{self.dtype}",
                "logprobs_mode": self.logprobs_mode,
            }
            config = {"scheduler_config": scheduler, "model_config": model}
            return Reply(body=json.dumps({"vllm_config": config}).encode())
        return super().get(path) if path == "/v1/models" else error(404)

    def post(self, path, request):
        if path == "/v1/completions":
            return self.failures.pop() if self.failures else self._complete(request)
        if path == "/collective_rpc" and self.dev and request["method"] == "reload_weights":
            folder = Path(request["kwargs"]["weights_path"])
            self.reloads.append(sorted(file.name for file in folder.iterdir()))
            if self.stale is None or len(self.reloads) < self.stale:
                load_weights(self.model, folder)
            return Reply(body=b'{"results": [null]}')
        return error(404)

    def _complete(self, request):
        assert request["ignore_eos"] and request["return_token_ids"] and request["logprobs"] == 1
        assert request["model"] == "tiny"
        ids = self.before + request["prompt"]
        if len(ids) + request["max_tokens"] > self.context:
            return error(400, f"This model's maximum context length is {self.context} tokens.")
        if len(ids) > (self.budget or self.context):
            self.released.wait(60)  # the scheduler never starts it
            return error(500)
        tokens, greedy = request["max_tokens"], request["temperature"] == 0
        decoding = Decoding(tokens, request["temperature"] or 1.0, request["top_k"], request["top_p"], greedy=greedy)
        with self._busy, causal_prompt(self.model) if self.causal else nullcontext():
            (drawn,) = sample(self.model, [ids], [request["seed"]], decoding)
            self.completions += 1
        if self._running * (len(ids) + tokens) > self.kv_tokens or self.completions == self.preempts:
            self.preempted += 1
            half = len(drawn.ids) // 2  # written before the pre-emption, and now read as prefix: other probabilities
            drawn.logprobs[half:] = [logprob - 0.3 for logprob in drawn.logprobs[half:]]
        if self.kv_tokens < 131072:
            time.sleep(0.05)  # requests overlap
        stopped = drawn.ids[-1:] == request["stop_token_ids"]
        choice = {
            "index": 0,
            "text": self.tokenizer.decode(drawn.ids),
            "logprobs": {"token_logprobs": drawn.logprobs, "tokens": [f"token_id:{token}" for token in drawn.ids]},
            "finish_reason": "stop" if stopped else "length",
            "token_ids": drawn.ids,
            "prompt_token_ids": ids,
        }
        return Reply(body=json.dumps({"choices": [choice]}).encode())
