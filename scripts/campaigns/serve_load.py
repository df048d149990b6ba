"""Load `hrm-align serve` with clients of the openai package, and compare every answer with `generate`.

    python scripts/campaigns/serve_load.py --model runs/demo/export

Three parts, against servers of this command on one machine:

1. 1,000 requests from 32 clients: short and long ones, streams, clients that leave, prompts above the context, control tokens in the
   text, and bad JSON. Every good answer must be the greedy answer of one prompt at a time, and every bad request gets a 4xx.
2. 10,000 requests; the server's memory after them against its memory after the first 1,000.
3. Throughput of 32 clients against one client, by turns.

Prints the tables of docs/results/serve.md, and exits with 1 if something is not as expected.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil

from hrm_align.models.loading import load_model_and_tokenizer
from hrm_align.rendering import get_renderer
from hrm_align.rollouts.local import generate

ROOT = Path(__file__).parents[2]
CLIENTS = 32
BATCH_TOKENS = 64
HOSTILE = (
    "<|im_end|>",
    "<|box_end|><|im_start|>",
    "<|endoftext|>",
    "<tool_call>{}</tool_call>",
    "</tool_response>",
    "<|object_ref_end|>",
)
BAD = (b"", b"{", b"[1]", b'{"messages": NaN}', b'{"messages": [{"role": "user", "content": "\\ud800"}]}', b"\xff\xfe\x00", b"[" * 4000,
       b'{"messages": []}', b'{"messages": [{"role": "x", "content": "y"}]}', b'{"messages": [{"role": "user", "content": "x"}], "n": -1}',
       b'{"messages": [{"role": "user", "content": "x"}], "secret_option": 1}', b'{"model": "../x", "messages": [{"role": "user", "content": "x"}]}')  # fmt: skip


@contextlib.contextmanager
def served(model: str, *flags: str, threads: int = 1) -> Iterator[tuple[str, psutil.Process]]:
    """Run the command in a `with` block; yields its address and process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "hrm_align.cli", "serve", "--model", model, "--port", "0", "--json", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def questions(number: int, seed: int) -> list[str]:
    """Return prompts of the shipped tasks and of other lengths, a sixth of them with control tokens as text."""
    draw = random.Random(seed)
    rows = [
        json.loads(line)
        for task in ("chat", "json_extraction", "base_families", "word_problems")
        for line in (ROOT / "data" / task / "test.jsonl").read_text().splitlines()
    ]
    texts = [text for row in rows if (text := _question(row))]
    drawn = []
    for _ in range(number):
        text = (
            draw.choice(texts)
            if draw.random() < 0.7
            else " ".join(draw.choice(texts) for _ in range(draw.randrange(2, 6)))
        )
        if draw.random() < 1 / 6:
            place = draw.randrange(len(text) + 1)
            text = text[:place] + draw.choice(HOSTILE) + text[place:]
        drawn.append(text[:1500])
    return drawn


def task_questions(number: int) -> list[str]:
    """Return the prompts of the first rows of two tasks."""
    lines = [
        line
        for task in ("chat", "json_extraction")
        for line in (ROOT / "data" / task / "test.jsonl").read_text().splitlines()[:number]
    ]
    return [_question(json.loads(line)) for line in lines]


def _question(row: dict[str, Any]) -> str:
    if "messages" in row:
        return next((message["content"] for message in row["messages"] if message["role"] == "user"), "")
    return row.get("prompt") or row.get("instruction") or ""


def mixed_load(model: str, number: int, tokens: int, report: Any) -> bool:
    """Part 1."""
    draw = random.Random(1)
    kinds = draw.choices(
        ["whole", "stream", "leave", "leave whole", "oversized", "bad JSON"], [50, 20, 8, 4, 8, 10], k=number
    )
    texts = questions(number, 2)
    limits = [draw.choice([4, 16, tokens]) for _ in range(number)]
    loaded, tokenizer = load_model_and_tokenizer(model)
    renderer = get_renderer(tokenizer)
    expected: dict[int, str] = {}
    context = loaded.config.max_position_embeddings
    for index, kind in enumerate(kinds):  # one prompt at a time, as `hrm-align generate` draws
        if kind in ("whole", "stream"):
            prompt = renderer.prompt(texts[index], "direct")
            (ids,) = generate(loaded, [prompt], max_new_tokens=min(limits[index], context - len(prompt)))
            expected[index] = renderer.decode_response(ids)
    results: list[tuple[str, Any, float]] = []

    def request(index: int) -> tuple[str, Any, float]:
        kind, client = kinds[index], clients[index % CLIENTS]
        text = texts[index] if kind != "oversized" else "word " * 5 * context
        fields: Any = {"model": name, "messages": [{"role": "user", "content": text}], "max_tokens": limits[index]}
        start = time.perf_counter()
        try:
            if kind == "bad JSON":
                answer = raw.post(
                    "/chat/completions", content=draw.choice(BAD), headers={"content-type": "application/json"}
                )
                return kind, answer.status_code, time.perf_counter() - start
            if kind == "leave whole":
                with contextlib.suppress(openai.APITimeoutError):
                    client.with_options(timeout=0.02, max_retries=0).chat.completions.create(
                        **{**fields, "max_tokens": tokens}
                    )
                return kind, None, time.perf_counter() - start
            if kind in ("stream", "leave"):
                pieces = []
                with client.chat.completions.create(**fields, stream=True) as stream:
                    for chunk in stream:
                        pieces.append(chunk.choices[0].delta.content or "")
                        if kind == "leave" and len(pieces) > 2:
                            break
                return kind, "".join(pieces) == expected.get(index), time.perf_counter() - start
            text = client.chat.completions.create(**fields).choices[0].message.content
            return kind, text == expected.get(index), time.perf_counter() - start
        except openai.APIStatusError as error:
            return kind, error.status_code, time.perf_counter() - start

    with served(model) as (url, _):
        clients = [openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) for _ in range(CLIENTS)]
        raw = httpx.Client(base_url=url, timeout=600)
        name = clients[0].models.list().data[0].id
        start = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            results = [*pool.map(request, range(number))]
        seconds = time.perf_counter() - start
        time.sleep(1)
        metrics = httpx.get(url.removesuffix("/v1") + "/metrics").text
    good = [result for result in results if result[0] in ("whole", "stream")]
    bad = [result for result in results if result[0] in ("oversized", "bad JSON")]
    equal = sum(value is True for _, value, _ in good)
    refused = sum(value in range(400, 500) for _, value, _ in bad)
    longest = max(seconds for _, _, seconds in results)
    is_idle = "hrm_align_running_completions 0.0" in metrics and "hrm_align_waiting_requests 0.0" in metrics
    report(f"| {number:,} requests from {CLIENTS} clients | {seconds:.0f} s |")
    report(f"| kinds | {', '.join(f'{count} {kind}' for kind, count in Counter(kinds).most_common())} |")
    report(f"| good requests answered as `generate` answers | {equal} of {len(good)} |")
    report(
        f"| bad requests answered by a 4xx | {refused} of {len(bad)} ({dict(Counter(value for _, value, _ in bad))}) |"
    )
    report(f"| longest wait of any request | {longest:.1f} s (limit: 600 s) |")
    report(f"| nothing runs or waits one second after the last | {'yes' if is_idle else 'no'} |")
    return equal == len(good) and refused == len(bad) and is_idle and longest < 600


def memory(model: str, number: int, report: Any) -> bool:
    """Part 2. The allocator's own growth is part of the figure."""
    short, mixed = task_questions(500), questions(1000, 3)
    with served(model) as (url, process):
        client = httpx.Client(base_url=url, timeout=600, limits=httpx.Limits(max_connections=CLIENTS))
        measured = []

        def request(index: int) -> int:
            text = short[index % len(short)] if index % 10 else mixed[index // 10 % len(mixed)]
            body = {"messages": [{"role": "user", "content": text}], "max_tokens": 4 if index % 20 else 32}
            return client.post("/chat/completions", json=body).status_code

        with ThreadPoolExecutor(CLIENTS) as pool:
            for begin in range(0, number, 1000):
                assert {*pool.map(request, range(begin, begin + 1000))} == {200}
                measured.append(process.memory_info().rss / 2**20)
                print(f"{begin + 1000:,} requests, {measured[-1]:.0f} MiB", file=sys.stderr, flush=True)
    growth = measured[-1] / measured[0] - 1
    shown = ", ".join(f"{value:.0f}" for value in measured)
    report(f"| memory after each 1,000 of {number:,} requests, MiB | {shown} |")
    report(f"| growth from 1,000 to {number:,} requests | {growth:+.1%} |")
    return growth < 0.05


def throughput(model: str, rounds: int, tokens: int, report: Any) -> bool:
    """Part 3. Greedy answers to the same prompts in every round: those of two tasks, and prompts of mixed lengths."""
    tasks = task_questions(32)
    slowest = float("inf")
    with served(model) as (url, _):
        client = httpx.Client(base_url=url, timeout=600, limits=httpx.Limits(max_connections=CLIENTS))

        def request(text: str) -> int:
            body = {"messages": [{"role": "user", "content": text}], "max_tokens": tokens}
            return client.post("/chat/completions", json=body).json()["usage"]["completion_tokens"]

        for name, texts in (("prompts of two tasks", tasks), ("prompts of mixed lengths", questions(64, 4))):
            rates: dict[int, list[float]] = {1: [], CLIENTS: []}
            for _ in range(rounds):
                for clients, measured in rates.items():
                    with ThreadPoolExecutor(clients) as pool:
                        start = time.perf_counter()
                        drawn = sum(pool.map(request, texts))
                        measured.append(drawn / (time.perf_counter() - start))
            ratios = [many / one for one, many in zip(rates[1], rates[CLIENTS], strict=True)]
            for clients, measured in rates.items():
                report(f"| {name}, {clients} client{'s' * (clients > 1)}: tokens a second | {spread(measured)} |")
            report(f"| {name}, ratio | {spread(ratios)} |")
            if texts is tasks:
                slowest = statistics.median(ratios)
    return slowest >= 3


def spread(values: Sequence[float]) -> str:
    """Return median, range and number."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g}, n = {len(values)})"


def main(argv: Sequence[str]) -> int:
    """Run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="checkpoint folder (default tiny)")
    parser.add_argument("--requests", type=int, default=1000, help="requests of part 1 (default 1,000)")
    parser.add_argument("--many", type=int, default=10_000, help="requests of part 2 (default 10,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of part 3 (default 5)")
    parser.add_argument("--only", choices=["mixed", "memory", "throughput"], help="run one part")
    arguments = parser.parse_args(argv)

    def report(line: str) -> None:
        print(line, flush=True)

    report("| measured | result |\n| --- | --- |")
    parts = {
        "mixed": lambda: mixed_load(arguments.model, arguments.requests, BATCH_TOKENS, report),
        "memory": lambda: memory(arguments.model, arguments.many, report),
        "throughput": lambda: throughput(arguments.model, arguments.rounds, BATCH_TOKENS, report),
    }
    failed = [name for name, part in parts.items() if arguments.only in (None, name) and not part()]
    if failed:
        print(f"not as expected: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
