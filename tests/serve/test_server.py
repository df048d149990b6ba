"""The server answers clients as `hrm-align generate` answers, refuses what it cannot answer, and stays well."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hrm_align.data.dataset import DatasetSpec, load_examples
from tests.command_line import run
from tests.serve.serving import ADAPTERS, PROMPTS, TOOL, ask, generated, post, script, served, unended, wait_until

ROOT = Path(__file__).parents[2]


# Answers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.numeric
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
    assert len({*(draw()[0] for _ in range(16))}) > 1
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


# Refusals --------------------------------------------------------------------------------------------------------------


# Limits ----------------------------------------------------------------------------------------------------------------


def test_the_example_of_the_guide(capsys, server):
    code = (ROOT / "docs/guides/serving.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code.replace("http://127.0.0.1:8000", server[0]), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == generated(capsys, "copy sun moon")["text"] and len(printed) == 2


# The command -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_server_is_right_in_the_precision_that_it_states(capsys, dtype):
    """Judged in float32, a server in bfloat16 would be wrong."""
    with served(dtype=dtype) as (url, _):
        words = ("check-engine", url, "--model", "tiny", "--data", "data/chat/test.jsonl", "--rows", 2, "--burst", 0)
        code, out, err = run(capsys, *words, "--json")
        assert code == 0, out + err
        assert json.loads(out)["answers"]["dtype"] == dtype
        code, out, _ = run(capsys, *words, "--engine_dtype", "float32")
        assert code == (dtype == "bfloat16"), out
