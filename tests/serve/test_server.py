"""The server answers clients as `hrm-align generate` answers, refuses what it cannot answer, and stays well."""

import http.client
import json
import logging
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import openai
import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from hrm_align.models.loading import load_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.serve.server import Settings
from tests.command_line import run
from tests.serve.serving import ADAPTERS, save_adapters, served

ROOT = Path(__file__).parents[2]
HTTP = httpx.Client(timeout=60)  # one for all, because each prepares TLS
PROMPTS = [
    "copy sun moon",
    "Add 2 and 3.",
    "say <|im_end|><|box_end|> twice",
    "reverse é 日本 👩‍👩‍👧",
    "List three animals.",
    "x " * 60,
]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    return save_adapters(tmp_path_factory.mktemp("adapters"))


@pytest.fixture(scope="module")
def server(adapters):
    with served(adapters, max_running=8, max_queue=40) as (url, service):
        yield url, service


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server[0]}/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def renderer():
    return get_renderer(load_tokenizer("tiny"))


def ask(client, text, model="tiny", **fields):
    messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, **{"max_tokens": 24, **fields})


def post(server, body, path="/v1/chat/completions", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HTTP.post(server[0] + path, content=raw, headers={"content-type": "application/json", **headers})


def generated(capsys, text, *flags):
    """The answer of `hrm-align generate`."""
    code, out, err = run(
        capsys, "generate", "--model", "tiny", "--prompt", text, "--max_new_tokens", 24, "--json", *flags
    )
    assert code == 0, err
    return json.loads(out)


def wait_until(is_true):
    for _ in range(500):
        if is_true():
            return
        time.sleep(0.01)
    raise AssertionError("it does not happen")


# Answers ---------------------------------------------------------------------------------------------------------------


def test_answers_are_those_of_generate(capsys, client, server):
    for text in PROMPTS[1:4]:
        expected = generated(capsys, text)
        answer = ask(client, text, extra_body={"return_token_ids": True}, logprobs=True).choices[0]
        assert answer.message.content == expected["text"] and answer.finish_reason == expected["finish_reason"]
        body = {"prompt": text, "max_tokens": 24, "return_token_ids": True, "logprobs": 1}
        plain = post(server, body, "/v1/completions").json()["choices"][0]
        assert plain["text"] == expected["text"] and plain["token_ids"] == expected["token_ids"]
        assert len(plain["logprobs"]["token_logprobs"]) == len(plain["token_ids"])
        assert [part.logprob for part in answer.logprobs.content] == pytest.approx(
            plain["logprobs"]["token_logprobs"], abs=1e-5
        )


def test_conditions_system_texts_and_turns(capsys, client, server, renderer):
    expected = generated(capsys, "Add 2 and 3.", "--condition", "synth,cot", "--system", "Be brief.")
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Add 2 and 3."}]},
    ]
    answer = ask(client, messages, extra_body={"condition": "synth,cot"})
    assert answer.choices[0].message.content == expected["text"]
    reply = answer.choices[0].message.model_dump()  # sent back as the client has received it
    turns = [*messages, {**reply, "content": reply["content"] or "5"}, {"role": "user", "content": "And 4?"}]
    prompt = renderer.prompt([{"role": m["role"], "content": m["content"]} for m in turns], "synth,cot")
    whole = ask(client, turns, extra_body={"condition": "synth,cot"})
    assert whole.usage.prompt_tokens == len(prompt)
    by_ids = post(server, {"prompt": prompt, "max_tokens": 24}, "/v1/completions").json()["choices"][0]
    assert by_ids["text"] == whole.choices[0].message.content


def test_adapters_answer_by_name_in_one_batch(capsys, client, adapters, server):
    jobs = [(text, name) for text in PROMPTS[:2] for name in ("tiny", *ADAPTERS)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        answers = [*pool.map(lambda job: ask(client, job[0], job[1]).choices[0].message.content, jobs)]
    flags = [word for name, folder in adapters.items() for word in ("--adapter", f"{name}={folder}")]
    texts = {}
    for text in PROMPTS[:2]:
        texts.update({(text, name): one["text"] for name, one in generated(capsys, text, *flags)["adapters"].items()})
        texts[text, "tiny"] = generated(capsys, text)["text"]
    assert dict(zip(jobs, answers, strict=True)) == texts
    assert len({texts[PROMPTS[1], name] for name in ("tiny", *ADAPTERS)}) == 3
    assert [model.id for model in client.models.list()] == ["tiny", *ADAPTERS]


@pytest.mark.parametrize(
    "fields", [{}, {"n": 3, "temperature": 1.0, "seed": 5, "logprobs": True}, {"stop": ["o", "a b"], "logprobs": True}]
)
def test_a_stream_is_the_whole_answer(client, fields):
    for text in PROMPTS[1:3]:
        whole = ask(client, text, "red", **fields)
        chunks = [*ask(client, text, "red", stream=True, stream_options={"include_usage": True}, **fields)]
        assert chunks[-1].usage == whole.usage and not chunks[-1].choices
        for choice in whole.choices:
            parts = [part for chunk in chunks for part in chunk.choices if part.index == choice.index]
            assert "".join(part.delta.content or "" for part in parts) == choice.message.content
            assert [part.finish_reason for part in parts][-1] == choice.finish_reason
            assert parts[0].delta.role == "assistant"
            tokens = [token for part in parts for token in (part.logprobs.content if part.logprobs else [])]
            expected = choice.logprobs.content if choice.logprobs else []
            assert [token.token for token in tokens] == [token.token for token in expected]


def test_samples_are_drawn_by_their_seed(client):
    def draw(**fields):
        return [choice.message.content for choice in ask(client, "List words.", temperature=1.0, **fields).choices]

    three = draw(n=3, seed=5)
    assert three == draw(n=3, seed=5) and three[:1] == draw(seed=5)
    assert len({*three}) > 1 and three != draw(n=3, seed=6)
    assert len({*(draw()[0] for _ in range(4))}) > 1
    assert draw(seed=5, top_p=1e-6) == [ask(client, "List words.").choices[0].message.content]


def test_stop_texts_end_an_answer(client, server, monkeypatch):
    unended(server, monkeypatch)
    text, scheduler = "Write a long list of words.", server[1].scheduler
    whole = ask(client, text, "red", max_tokens=40).choices[0].message.content
    stop = whole[5:8]
    before = scheduler.steps
    short = ask(client, text, "red", max_tokens=900, stop=[stop, "\0"], logprobs=True)
    assert short.choices[0].message.content == whole[: whole.index(stop)] and short.choices[0].finish_reason == "stop"
    assert short.usage.completion_tokens < 40
    wait_until(lambda: scheduler.running == 0)
    assert scheduler.steps - before < 300, "the engine continues after the stop text"
    limited = ask(client, text, "red", max_completion_tokens=3, max_tokens=3)
    assert limited.choices[0].finish_reason == "length" and limited.usage.completion_tokens == 3


# Tools -----------------------------------------------------------------------------------------------------------------

TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "Find é.", "parameters": {"type": "object", "properties": {}}},
}


def test_tools_are_stated_as_in_training(client, server, renderer, tmp_path, monkeypatch):
    prompts, submit = [], server[1].scheduler.submit

    def recorded(model, requests, deliver):
        prompts.append(requests[0].prompt_ids)
        return submit(model, requests, deliver)

    monkeypatch.setattr(server[1].scheduler, "submit", recorded)
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "Find a."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "<|im_end|> 7"},
    ]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        json.dumps({"tools": [TOOL], "messages": [*messages, {"role": "assistant", "content": "7"}]}) + "\n"
    )
    example = load_examples([DatasetSpec(path=str(rows))])[0][-1]
    prompt = renderer.prompt(example.messages, example.condition)
    answer = ask(client, messages, tools=[TOOL])
    assert answer.usage.prompt_tokens == len(prompt)
    assert prompts == [prompt]
    assert len(prompt) > ask(client, messages, tools=[TOOL], tool_choice="none").usage.prompt_tokens
    (stated,) = (message.content for message in example.messages if "look_up" in message.content)
    system = {"role": "system", "content": f"Use tools. <tools>{stated}</tools>"}
    once = ask(client, [system, *messages[1:]], tools=[TOOL])
    assert once.usage.prompt_tokens == len(renderer.prompt([system, *messages[1:]], "direct"))


CALL = '<tool_call>{"name": "f", "arguments": {"a": %s}}</tool_call>'
WRITTEN = {
    "Look.\n" + CALL % '"é < 2"': ("Look.", ["é < 2"], "tool_calls"),
    CALL % 1 + CALL % 2: (None, [1, 2], "tool_calls"),
    "1 < 2, `<tool_call>`": ("1 < 2, `<tool_call>`", [], "stop"),
    "so <tool_call>{": ("so <tool_call>{", [], "stop"),
    "plain words  \n": ("plain words  \n", [], "stop"),
}


def test_calls_in_an_answer_are_read(client, server, renderer, monkeypatch):
    """The tiny base calls no tools, so the engine's tokens are replaced."""
    script(server[1], monkeypatch, [renderer.response(text) for text in WRITTEN])

    def three_ways(number):
        tokens = 400 + number
        whole = ask(client, "x", tools=[TOOL], max_tokens=tokens).choices[0]
        chunks = [*ask(client, "x", tools=[TOOL], max_tokens=tokens, stream=True)]
        return (
            whole,
            [chunk.choices[0] for chunk in chunks],
            ask(client, "x", max_tokens=tokens).choices[0].message.content,
        )

    with ThreadPoolExecutor(len(WRITTEN)) as pool:
        answers = [*pool.map(three_ways, range(len(WRITTEN)))]
    for (text, (content, values, finish)), (whole, parts, without_tools) in zip(WRITTEN.items(), answers, strict=True):
        assert (whole.message.content, whole.finish_reason) == (content, finish)
        calls = whole.message.tool_calls or []
        assert [json.loads(call.function.arguments)["a"] for call in calls] == values
        assert len({call.id for call in calls}) == len(calls)
        assert (
            "".join(part.delta.content or "" for part in parts) == (content or "") and parts[-1].finish_reason == finish
        )
        streamed = [call for part in parts for call in part.delta.tool_calls or []]
        assert [json.loads(call.function.arguments)["a"] for call in streamed] == values
        assert [call.index for call in streamed] == [*range(len(values))]
        assert without_tools == text
        if "<" not in text:
            assert len(parts) > 3, "text is held back until its end"


def script(service, monkeypatch, answers):
    """Let the engine write given tokens: answer i where 400 + i tokens are requested."""
    models = service.scheduler._models
    submit, step, rest = models.submit, models.step, {}

    def scripted_submit(name, request):
        handle = submit(name, request)
        rest[handle] = [*answers[request.decoding.max_new_tokens - 400]]
        return handle

    def scripted_step():
        events = []
        for event in step():
            token = rest[event.handle].pop(0)
            is_last = not rest[event.handle]
            events.append(replace(event, token=token, finish="stop" if is_last else None))
            if is_last:
                models.cancel(event.handle)
        return events

    monkeypatch.setattr(models, "submit", scripted_submit)
    monkeypatch.setattr(models, "step", scripted_step)
    monkeypatch.setattr("hrm_align.rollouts.local._draw", unending(service))


def unending(service):
    from hrm_align.rollouts import local

    draw = local._draw

    def without_end(logits, uniform, decoding):
        logits = logits.clone()
        logits[:, service.renderer.response_end_id] = -1e9
        return draw(logits, uniform, decoding)

    return without_end


# Refusals --------------------------------------------------------------------------------------------------------------

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


def test_malformed_requests_leave_the_server_answering(server, client):
    draw, statuses = random.Random(0), set()
    whole = json.dumps(
        {"messages": OK, "max_tokens": 2, "temperature": 0.5, "stop": ["a"], "tools": [TOOL], "seed": 1}
    ).encode()
    values = [None, -1, 1e308, "", "\ud800x", [], {}, [[]], True, 2**63, {"type": []}, "<|im_end|>"]
    for number in range(100):
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


# Limits ----------------------------------------------------------------------------------------------------------------


def unended(server, monkeypatch):
    monkeypatch.setattr("hrm_align.rollouts.local._draw", unending(server[1]))


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


def test_the_example_of_the_guide(capsys, server):
    code = (ROOT / "docs/guides/serving.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code.replace("http://127.0.0.1:8000", server[0]), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == generated(capsys, "copy sun moon")["text"] and len(printed) == 2


# The command -----------------------------------------------------------------------------------------------------------


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
    env = {**os.environ, "HRM_ALIGN_API_KEY": "s3cret"}
    command = [sys.executable, "-m", "hrm_align.cli", "serve", "--model", "tiny", "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["models"] == ["tiny"] and ready["context"] == 1024
        with openai.OpenAI(base_url=ready["url"], api_key="s3cret", max_retries=0) as client:
            stream = ask(client, "copy a", temperature=2.0, seed=3, max_tokens=300, stream=True)
            first = next(iter(stream))
            assert first.choices
            killer = threading.Timer(0.05, process.send_signal, [signal.SIGTERM])
            killer.start()
            last = [*stream][-1]
            assert last.choices[0].finish_reason in ("stop", "length")
        assert process.wait(30) == -signal.SIGTERM
        err = process.stderr.read()
        assert "no answer runs any more" in err and "s3cret" not in err and "Traceback" not in err
    finally:
        process.kill()
        process.wait()
