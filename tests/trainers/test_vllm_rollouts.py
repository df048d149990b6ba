"""GRPO with completions from a vLLM server: the bookkeeping of the local engine, and what stops a run."""

import json

import pytest
import torch

from hrm_align.errors import RunError, UserError
from hrm_align.models.adapters import base_name, load_adapted, open_adapter
from hrm_align.models.loading import load_model
from hrm_align.rollouts.http_engine import merged_weights
from tests.rewards.judge_server import Reply, closing, error
from tests.rollouts.vllm_server import VLLMServer
from tests.trainers.grpo_runs import grpo, prompts
from tests.trainers.recipe_runs import metrics

STEPS = ("--max_steps", "2", "--parity_every", "20", "--optim", "sgd", "--learning_rate", "0.3")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prompts(tmp_path_factory.mktemp("prompts"))


def served(output_dir, data, server, *flags):
    grpo(output_dir, data, *STEPS, "--use_vllm", "true", "--vllm_server_base_url", server.url, *flags)


def told(output_dir):
    clocks = ("step_time", "runtime", "per_second", "seconds/", "total_flos")
    records = [record for record in metrics(output_dir) if "loss" in record]
    return [{k: v for k, v in record.items() if not any(clock in k for clock in clocks)} for record in records]


def answers(output_dir):
    return [json.loads(line)["generated"] for line in (output_dir / "samples.jsonl").read_text().splitlines()]


ADAPTER = (
    "--use_peft",
    "true",
    "--lora_r",
    "4",
    "--use_dora",
    "true",
    "--trainable_tokens",
    "[<|object_ref_start|>]",
    "--learning_rate",
    "3",
)


CUT = ("--temperature", "1", "--top_k", "3", "--top_p", "0.9", "--max_steps", "1")


@pytest.mark.parametrize(
    ("flags", "mode"),
    [(("--max_resamples", "1", *CUT), "raw_logprobs"), (ADAPTER, "processed_logprobs")],
    ids=["whole, cut", "adapter"],
)
@pytest.mark.numeric
def test_rollouts_of_a_server_are_those_of_the_local_engine(flags, mode, data, tmp_path):
    """The server draws as the local engine does, so that everything else must be alike: 1e-6 seen."""
    with VLLMServer(logprobs_mode=mode) as server:
        served(tmp_path / "served", data, server, *flags)
        assert {*map(len, server.reloads)} == {1} and server.overlap > 1
    grpo(tmp_path / "local", data, *STEPS, *flags)
    for ours, theirs in zip(told(tmp_path / "local"), told(tmp_path / "served"), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            if not name.startswith("parity/"):
                assert theirs[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    assert all("seconds/sync" in record for record in metrics(tmp_path / "served") if "loss" in record)
    assert answers(tmp_path / "served") == answers(tmp_path / "local")
    assert not (tmp_path / "served/vllm_weights").exists()


@pytest.mark.numeric
def test_a_run_in_half_precision_compares_the_server_in_its_own_precision(data, tmp_path):
    """The additional completions in float32 come from the local engine, and the server gets no other weights for them."""
    with VLLMServer(dtype="bfloat16") as server:
        served(tmp_path / "run", data, server, "--bf16", "true", "--max_steps", "1")
        assert len(server.reloads) == 1 and server.completions == 16
    (record,) = told(tmp_path / "run")
    assert 0 < record["parity/sampler_mean"] < 0.02 and record["parity/float32/sampler_max"] < 1e-4


@pytest.mark.numeric
def test_handing_over_an_adapter_leaves_the_base_as_it_is(data, tmp_path):
    """To the bit: subtracting what was added would round. The tensors handed over are those of a merge."""
    grpo(tmp_path / "run", data, *STEPS, *ADAPTER, "--max_steps", "1")
    (name, adapter) = (base_name(open_adapter(str(tmp_path / "run"))), {"adapter": open_adapter(str(tmp_path / "run"))})
    model, _ = load_adapted(name, adapter)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.autocast("cpu", torch.bfloat16), merged_weights(model) as named:  # a rollout runs in the run's autocast
        handed = {key: value.clone() for key, value in named.items()}
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    merged = model.merge_and_unload().state_dict()
    assert handed.keys() == merged.keys()
    moved = [key for key, value in merged.items() if not torch.equal(value, load_model(name).state_dict()[key])]
    assert len(moved) > 10 and "model.embed_tokens.weight" in moved
    for key, value in merged.items():
        assert torch.allclose(handed[key], value, rtol=0, atol=1e-6), key


STOPS = {
    "prompts read causally": ({"causal": True}, r"between the log-probabilities of sampler and trainer is"),
    "another prompt": ({"before": [6]}, r"did not answer: the body is not what was requested"),
    "weights that stay old": ({"stale": 2}, r"between the log-probabilities of sampler and trainer is .*different weights"),
    "a pre-emption": ({"preempts": 20}, r"has pre-empted requests .* went from 0 to 1\).* KV cache holds 131072 tokens: start it "
                                        r"with --max-num-seqs 128"),
    "an answer of an error": ({"failures": [error(500, "no memory")] * 80}, r"did not answer: HTTP 500 \(no memory\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", STOPS)
def test_a_faulty_server_stops_the_run(name, data, tmp_path, monkeypatch):
    monkeypatch.setattr("hrm_align.rewards.judge_client.FIRST_PAUSE", 0.001)
    how, words = STOPS[name]
    failures = how.get("failures", [])
    with VLLMServer(**{key: value for key, value in how.items() if key != "failures"}) as server:
        server.failures = failures
        with pytest.raises(RunError, match=words):
            served(tmp_path / "run", data, server, "--temperature", "1", "--num_generations", "4")
        assert len(server.reloads) == (2 if name in ("weights that stay old", "a pre-emption") else len(server.reloads))


REFUSED = {
    "a small budget": ({"budget": 512}, "a step of the server has at most 512 tokens, and its prompts up to 1024: a longer prompt "
                                        "stops the server for every request. Start it with --max-num-batched-tokens 1024"),
    "a small budget that it does not state": ({"budget": 512, "pages": {"/server_info": Reply(body=b"{}")}},
                                              "a prompt of .* tokens has no answer .* Start it with --max-num-batched-tokens"),
    "no new weights": ({"dev": False}, "accepts no new weights. Start it with VLLM_SERVER_DEV_MODE=1"),
    "half precision": ({"dtype": "bfloat16"}, "computes in bfloat16, and this run in float32. Start it with --dtype float32"),
    "raw log-probabilities": ({"logprobs_mode": "raw_logprobs"}, "the temperature is not 1. Start it with --logprobs-mode processed"),
    "no count of pre-emptions": ({"pages": {"/metrics": Reply()}}, "Start it without --disable-log-stats"),
    "a start that takes long": ({"pages": {"/health": closing()}}, "does not answer within 1 seconds"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_server_that_cannot_serve_is_refused_before_the_run(name, data, tmp_path):
    how, words = REFUSED[name]
    with VLLMServer(**how) as server, pytest.raises(UserError, match=words):
        served(tmp_path / "run", data, server, "--vllm_server_timeout", "1")
    assert server.completions == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [(("--vllm_mode", "colocate"), "vllm_mode cannot be set to this value.*another release of Transformers"),
     (("--vllm_server_base_url", "http://me:pass@host"), "invalid value for vllm_server_base_url"),
     (("--vllm_gpu_memory_utilization", "0.5"), "the server decides"),
     (("--cuda_graphs", "true"), "hrm_align's own sampler")],
)  # fmt: skip
def test_settings_that_do_not_fit_a_server(flags, words, data, tmp_path):
    with pytest.raises(UserError, match=words):
        grpo(
            tmp_path / "run", data, *STEPS, "--use_vllm", "true", "--vllm_server_base_url", "http://localhost:9", *flags
        )
    with pytest.raises(UserError, match="vllm_server_base_url is missing"):
        grpo(tmp_path / "run", data, *STEPS, "--use_vllm", "true")
