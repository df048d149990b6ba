"""A teacher behind an OpenAI-compatible server on this machine: it answers as vLLM does, from a model in this process."""

import json
import threading

import torch

from tests.rewards.judge_server import JudgeServer, Reply, error

END = 7  # <|im_end|> of the tiny base


def masks(length, prefix):
    """The masks that a server may apply, as (length, length) bool: HRM-Text's, and two that are wrong."""
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    rule = causal.clone()
    rule[:prefix, :prefix] = True
    return {"rule": rule, "causal": causal, "all": torch.ones_like(causal)}


class TeacherServer(JudgeServer):
    """A server that knows one form, `prompt_logprobs` or `echo`.

    With `prompt_logprobs` it returns the k most probable tokens and that of the request, as vLLM does; with `echo` it lists the k most
    probable ones, states the other beside them, and adds a token of its own.

    Args:
        model, tokenizer: the teacher.
        form: the form that it knows, or "none"; it ignores the settings of others.
        mask: one of `masks`.
        most: most tokens at a position that it returns.
        key: API key that it demands.
        before: tokens that it puts before every prompt.
    """

    def __init__(self, model, tokenizer, form="prompt_logprobs", mask="rule", most=10**6, key="", before=()):
        super().__init__(self._complete, models=("teacher",), key=key)
        self.model, self.tokenizer, self.form, self.mask, self.most = model, tokenizer, form, mask, most
        self.before = before
        self.failures = []  # replies before any other, one for each request
        self._model_lock = threading.Lock()

    def logprobs(self, ids):
        """(tokens - 1, vocab): row t predicts token t + 1."""
        mask = masks(len(ids), ids.index(END) + 1)[self.mask]
        with torch.no_grad(), self._model_lock:
            floats = mask.logical_not()[None, None] * torch.finfo(torch.float32).min
            logits = self.model(torch.tensor([ids]), attention_mask=floats, use_cache=False).logits[0, :-1]
        return logits.float().log_softmax(dim=-1)

    def _complete(self, request):
        if self.failures:
            return self.failures.pop()
        if self.key and self.headers[-1].get("Authorization") != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {self.headers[-1].get('Authorization')}")
        assert request["model"] == "teacher" and request["max_tokens"] == 1
        ids, k = (
            [*self.before, *request["prompt"]],
            request.get({"prompt_logprobs": "prompt_logprobs", "echo": "logprobs"}.get(self.form)),
        )
        choice = {"text": "x", "finish_reason": "length"}
        if k is not None:
            tops = [self._top(row, token, k) for row, token in zip(self.logprobs(ids), ids[1:], strict=True)]
            choice |= self._as_prompt_logprobs(tops) if self.form == "prompt_logprobs" else self._as_echo(ids, tops, k)
        return Reply(body=json.dumps({"choices": [choice]}).encode())

    def _top(self, row, token, k):
        top = row.topk(min(k, self.most, len(row)))
        return {token: row[token].item()} | dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))

    def _as_prompt_logprobs(self, tops):
        read = self.tokenizer.decode
        written = [
            {str(t): {"logprob": v, "rank": 1, "decoded_token": read([t])} for t, v in top.items()} for top in tops
        ]
        return {"prompt_logprobs": [None, *written]}

    def _as_echo(self, ids, tops, k):
        tokens = [f"token_id:{token}" for token in [*ids, 9]]
        own = [None, *(top[token] for top, token in zip(tops, ids[1:], strict=True)), -0.1]
        ranked = [sorted(top.items(), key=lambda pair: -pair[1])[:k] for top in tops]
        listed = [None, *({f"token_id:{token}": value for token, value in top} for top in ranked), {"token_id:9": -0.1}]
        logprobs = {"tokens": tokens, "token_logprobs": own, "top_logprobs": listed, "text_offset": []}
        return {"text": self.tokenizer.decode(ids) + "x", "logprobs": logprobs}
