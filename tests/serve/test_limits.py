"""The server refuses what it cannot answer, keeps its limits, and stays well."""

import http.client
import json
import logging
import os
import random
import re
import secrets
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import torch

from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.serve.server import Settings
from tests.command_line import run
from tests.forks import PLAIN
from tests.serve.serving import (
    HTTP,
    PROMPTS,
    TOOL,
    ask,
    post,
    served,
    unended,
    wait_until,
)

OK = [{"role": "user", "content": "copy a"}]


REFUSED = [
    (b"", 400), (b"{", 400), (b"[]", 400), (b'{"messages": NaN}', 400), (b"\xff\xfe", 400), (b'{"a": 1, "a": 2}', 400), (b"[" * 5000, 400),
    (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400), ({}, 400), ({"messages": []}, 400), ({"messages": "x"}, 400),
    ({"messages": [1]}, 400), ({"messages": [{}]}, 400), ({"messages": [{"role": "wizard", "content": "x"}]}, 400),
    ({"messages": [{"role": "user", "content": ""}]}, 400), ({"messages": [{"role": "user", "content": 5}]}, 400),
    ({"messages": [{"role": "assistant", "content": "x"}]}, 400), ({"messages": [*OK, {"role": "assistant", "content": "x"}]}, 400),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]}, 400),
    ({"messages": [{"role": "user", "content": "x", "surprise": 1}]}, 400), ({"messages": OK, "model": "../../etc/passwd"}, 404),
    ({"messages": OK, "condition": "loud"}, 400), ({"messages": OK, "condition": "direct,direct"}, 400), ({"messages": OK, "condition": 3}, 400),
    ({"messages": OK, "max_tokens": 0}, 400), ({"messages": OK, "max_tokens": "5"}, 400), ({"messages": OK, "max_tokens": 10**9}, 400),
    ({"messages": OK, "max_tokens": 5, "max_completion_tokens": 6}, 400), ({"messages": OK, "temperature": -1}, 400),
    ({"messages": OK, "temperature": 3}, 400), ({"messages": OK, "top_p": 0}, 400), ({"messages": OK, "top_p": 0.5}, 400),
    ({"messages": OK, "n": 0}, 400), ({"messages": OK, "n": 9}, 400), ({"messages": OK, "n": True}, 400), ({"messages": OK, "seed": 1.5}, 400),
    ({"messages": OK, "seed": 2**70}, 400), ({"messages": OK, "stop": ["x"] * 17}, 400), ({"messages": OK, "stop": 5}, 400),
    ({"messages": OK, "logprobs": True, "top_logprobs": 2}, 400), ({"messages": OK, "stream_options": {"include_usage": True}}, 400),
    ({"messages": OK, "response_format": {"type": "json_object"}}, 400), ({"messages": OK, "tool_choice": "required"}, 400),
    ({"messages": OK, "tools": [{"type": "function"}]}, 400), ({"messages": OK, "tools": [TOOL], "parallel_tool_calls": False}, 400),
    ({"messages": OK, "presence_penalty": 0.5}, 400), ({"messages": OK, "logit_bias": {"5": 100}}, 400), ({"messages": OK, "unknown": 1}, 400),
    ({"messages": OK, "chat_template": "{{ 7 * 7 }}"}, 400), ({"messages": [{"role": "user", "content": "x " * 2000}]}, 400),
]  # fmt: skip


REFUSED_PLAIN = [
    ({"prompt": []}, 400), ({"prompt": [6, 8, 63]}, 400), ({"prompt": [6, 7, 63, 7]}, 400), ({"prompt": [10**6]}, 400), ({"prompt": [-1]}, 400),
    ({"prompt": ["a", "b"]}, 400), ({"prompt": None}, 400), ({"prompt": "x", "logprobs": 2}, 400), ({"prompt": "x", "echo": True}, 400),
    ({"prompt": "x", "suffix": "y"}, 400), ({"prompt": "x", "ignore_eos": True}, 400), ({"prompt": "x", "best_of": 2}, 400),
]  # fmt: skip


def assert_refused(response, status):
    error = response.json()["error"]
    assert response.status_code == status, (response.status_code, error)
    assert (
        error["message"].endswith(".")
        and "\n" not in error["message"]
        and error["type"]
        and {"param", "code"} <= {*error}
    )
    assert "pydantic" not in error["message"] and "Traceback" not in error["message"]


def test_what_cannot_be_answered_is_refused(server):
    for path, table in (("/v1/chat/completions", REFUSED), ("/v1/completions", REFUSED_PLAIN)):
        for body, status in table:
            try:
                assert_refused(post(server, body, path), status)
            except Exception as error:
                raise AssertionError(body if isinstance(body, bytes) else json.dumps(body)[:200]) from error
    long = post(server, {"messages": [{"role": "user", "content": "x " * 2000}]}).json()["error"]
    assert re.search(r"[\d,]+ tokens.* at most 1,024", long["message"]) and long["code"] == "context_length_exceeded"
    assert_refused(post(server, b'{"messages": "' + b"x" * 2**21 + b'"}'), 413)
    assert_refused(post(server, {"messages": OK}, **{"content-type": "text/plain"}), 415)
    assert_refused(post(server, {"messages": OK}, host="evil.example"), 403)
    assert_refused(HTTP.get(server[0] + "/v1/nothing"), 404)
    assert_refused(HTTP.get(server[0] + "/v1/chat/completions"), 405)


def test_fields_that_change_nothing_are_accepted(client):
    expected = ask(client, "copy a").choices[0].message.content
    fields = {"user": "u", "metadata": {"a": "b"}, "store": False, "presence_penalty": 0, "response_format": {"type": "text"},
              "parallel_tool_calls": True, "logit_bias": {}, "service_tier": "auto"}  # fmt: skip
    assert ask(client, "copy a", **fields).choices[0].message.content == expected
    assert (
        ask(client, "copy a", temperature=0, top_p=1, seed=7, extra_body={"top_k": -1}).choices[0].message.content
        == expected
    )


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.campaign)])
def test_malformed_requests_leave_the_server_answering(server, client, count):
    draw, statuses = random.Random(0), set()
    whole = json.dumps(
        {"messages": OK, "max_tokens": 2, "temperature": 0.5, "stop": ["a"], "tools": [TOOL], "seed": 1}
    ).encode()
    values = [None, -1, 1e308, "", "\ud800x", [], {}, [[]], True, 2**63, {"type": []}, "<|im_end|>"]
    for number in range(count):
        if number % 2:
            raw = bytearray(whole)
            for _ in range(draw.randrange(1, 6)):
                raw[draw.randrange(len(raw))] = draw.randrange(256)
        else:
            body = json.loads(whole)
            body[draw.choice([*body, "prompt", "n", "model", "stream", "condition"])] = draw.choice(values)
            raw = json.dumps(body).encode()
        statuses.add(post(server, bytes(raw), draw.choice(["/v1/chat/completions", "/v1/completions"])).status_code)
    assert statuses <= {200, 400, 404} and 400 in statuses, statuses
    assert ask(client, "copy a").choices[0].finish_reason


def test_clients_that_leave_are_cancelled(server, monkeypatch):
    unended(server, monkeypatch)
    scheduler = server[1].scheduler
    host = server[0].removeprefix("http://")
    for stream in (True, False):
        leaving = [http.client.HTTPConnection(host) for _ in range(3)]
        for connection in leaving:
            body = json.dumps({"messages": OK, "max_tokens": 1000, "stream": stream, "n": 4})
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        wait_until(lambda: scheduler.running == 8 and scheduler.waiting == 1)
        for connection in leaving:
            connection.sock.close()
            connection.close()
        before = scheduler.steps
        wait_until(lambda: scheduler.running == 0 and scheduler.waiting == 0)
        assert scheduler.steps - before < 300


def test_a_full_queue_and_the_time_limit(adapters, monkeypatch):
    with served(settings=Settings(timeout=0.7), max_running=1, max_queue=1) as server:
        unended(server, monkeypatch)
        with ThreadPoolExecutor(4) as pool:
            body = {"messages": OK}
            answers = [*pool.map(lambda _: post(server, body), range(4))]
            for answer in answers:
                assert_refused(answer, answer.status_code)
            assert sorted(answer.status_code for answer in answers) == [429, 429, 504, 504]
            assert {answer.headers.get("retry-after") for answer in answers if answer.status_code == 429} == {"5"}
        cut = post(server, {**body, "stream": True}).text.strip().split("\n\n")
        assert json.loads(cut[-1].removeprefix("data: "))["error"]["code"] == "timeout" and len(cut) > 2
        wait_until(lambda: server[1].scheduler.running == 0)


def test_a_fault_of_the_engine_ends_the_requests_it_concerns(server, client, monkeypatch, caplog):
    """A prefill that fails ends its own requests; those that run continue."""
    from hrm_align.rollouts import local

    caplog.set_level(logging.CRITICAL, "hrm_align.serve")
    unended(server, monkeypatch)
    expected = ask(client, PROMPTS[4], max_tokens=60).choices[0].message.content
    read = local.read

    def failing(model, prompts):
        if any(len(prompt) > 300 for prompt in prompts):
            raise RuntimeError("secret of the engine")
        return read(model, prompts)

    monkeypatch.setattr(local, "read", failing)
    with ask(client, PROMPTS[4], max_tokens=900, stream=True) as stream:
        pieces = (chunk.choices[0].delta.content or "" for chunk in stream)
        text = next(pieces) + next(pieces)
        for _ in range(3):
            answer = post(server, {"messages": [{"role": "user", "content": "q w " * 150}]})
            assert_refused(answer, 500)
            assert "secret" not in answer.text
        while len(text) < len(expected):
            text += next(pieces)
    assert text.startswith(expected)
    wait_until(lambda: server[1].scheduler.running == 0)
    monkeypatch.setattr(local._Batch, "draw", lambda *_: 1 / 0)
    for _ in range(3):
        assert_refused(post(server, {"messages": OK}), 500)
    assert HTTP.get(server[0] + "/health").status_code == 503
    monkeypatch.undo()
    assert ask(client, PROMPTS[4]).choices[0].finish_reason == "stop"
    assert HTTP.get(server[0] + "/health").status_code == 200


def test_the_key_is_required_and_the_metrics_count(caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    compare, compared = secrets.compare_digest, []
    monkeypatch.setattr(secrets, "compare_digest", lambda *keys: compared.append(keys) or compare(*keys))
    with served(settings=Settings(key="s3cret-é".encode().decode("latin-1"), local_only=False)) as server:
        key = {"authorization": "Bearer s3cret-é".encode()}
        for wrong in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "s3cret-é".encode()},
            {"authorization": b"Bearer \xff"},
        ):
            for path in ("/v1/models", "/metrics"):
                assert_refused(HTTP.get(server[0] + path, headers=wrong), 401)
            assert_refused(HTTP.post(server[0] + "/v1/completions", json={"prompt": "x"}, headers=wrong), 401)
        answer = HTTP.post(server[0] + "/v1/completions", json={"prompt": "copy a"}, headers=key)
        assert answer.status_code == 200, answer.text
        assert HTTP.get(server[0] + "/health").status_code == 200
        metrics = HTTP.get(server[0] + "/metrics", headers=key).text
        usage = answer.json()["usage"]
        for line in (
            'hrm_align_requests_total{endpoint="completions",status="401"} 4.0',
            'hrm_align_requests_total{endpoint="completions",status="200"} 1.0',
            f'hrm_align_completion_tokens_total{{model="tiny"}} {usage["completion_tokens"]}.0',
            f'hrm_align_prompt_tokens_total{{model="tiny"}} {usage["prompt_tokens"]}.0',
            "hrm_align_running_completions 0.0",
        ):
            assert line in metrics.splitlines(), metrics
    assert "s3cret" not in caplog.text
    assert len(compared) >= 14 and all(isinstance(key, bytes) for keys in compared for key in keys)  # in constant time


def test_the_page_loads_nothing_from_elsewhere(server):
    answer = HTTP.get(server[0] + "/")
    assert not re.search(r"https?://|innerHTML|src=", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_pages_of_other_origins_are_allowed_by_name():
    with served(settings=Settings(origins=["http://a.example"])) as server:
        for origin, allowed in (("http://a.example", "http://a.example"), ("http://b.example", None)):
            headers = {
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type",
            }
            answer = HTTP.options(server[0] + "/v1/chat/completions", headers=headers)
            assert answer.headers.get("access-control-allow-origin") == allowed


def test_settings_that_do_not_fit(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("HRM_ALIGN_API_KEY", raising=False)
    refused = {
        "--host 0.0.0.0": "HRM_ALIGN_API_KEY",
        "--port 70000": "--port",
        "--host nowhere.invalid --no_api_key": "cannot listen",
        "--max_running 0": "--max_running",
        "--engine_python x": "--engine vllm",
        "--engine vllm": "--engine_python",
        f"--engine vllm --engine_python {tmp_path}": "--engine_python",
        f"--engine vllm --engine_python {sys.executable}": "has no vLLM",
        "--engine vllm --adapter a=b --engine_python x": "Merge",
    }
    for words, expected in refused.items():
        code, _, err = run(capsys, "serve", "--model", "tiny", *words.split())
        sentence = err[err.index("error: ") :]
        assert code == 2 and expected in sentence and "Traceback" not in err, (words, err)
    monkeypatch.setattr("hrm_align.commands.serve.find_spec", lambda name: None)
    code, _, err = run(capsys, "serve", "--model", "tiny")
    assert code == 2 and "pip install 'hrm_align[serve]'" in err


def test_a_signal_lets_running_answers_end(tmp_path):
    """SIGTERM during a stream: its answer is whole, no new connection is accepted, and the code is that of the signal."""
    model, tokenizer = load_model_and_tokenizer("tiny")
    with torch.no_grad():
        model.lm_head.weight[get_renderer(tokenizer).response_end_id] = 0  # so that answers are long
    model.save_pretrained(tmp_path / "unending")
    tokenizer.save_pretrained(tmp_path / "unending")
    out, err = tmp_path / "out", tmp_path / "err"
    os.mkfifo(out)
    words = ("hrm-align", "serve", "--model", str(tmp_path / "unending"), "--port", "0", "--json")
    env = {**os.environ, "HRM_ALIGN_API_KEY": "s3cret"}
    process = PLAIN.start("from hrm_align.cli import main; main()", *words, env=env, out=out, err=err)
    try:
        with out.open() as lines:
            ready = json.loads(lines.readline())
        assert ready["models"] == ["unending"] and ready["context"] == 1024
        with openai.OpenAI(base_url=ready["url"], api_key="s3cret", max_retries=0) as client:
            stream = iter(ask(client, "copy a", "unending", max_tokens=150, stream=True))
            chunks = [next(stream)]
            process.send_signal(signal.SIGTERM)
            chunks += stream
            assert len(chunks) > 100 and chunks[-1].choices[0].finish_reason == "length"
        process.join(30)
        assert process.exitcode == -signal.SIGTERM
        said = err.read_text()
        assert "no answer runs any more" in said and "s3cret" not in said and "Traceback" not in said
    finally:
        process.kill()
