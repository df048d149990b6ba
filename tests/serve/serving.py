"""A server in this process, as `hrm-align serve` runs it: the tiny base with two adapters."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import httpx
import torch
import uvicorn
from peft import LoraConfig, get_peft_model

from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.loading import load_model
from hrm_align.serve.address import bind, url_of
from hrm_align.serve.http import _Server
from hrm_align.serve.models import ServedModels
from hrm_align.serve.server import Service, Settings, build_app
from tests.command_line import run

ADAPTERS = ("red", "blue")
PROMPTS = [
    "copy sun moon",
    "Add 2 and 3.",
    "say <|im_end|><|box_end|> twice",
    "reverse é 日本 👩‍👩‍👧",
    "List three animals.",
    "x " * 60,
]


TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "Find é.", "parameters": {"type": "object", "properties": {}}},
}


def save_adapters(folder, alpha=32):
    """Two adapters with random weights, which change most answers; with an alpha of 8 they still end them."""
    for seed, name in enumerate(ADAPTERS):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=alpha, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(load_model("tiny"), config)
        model.peft_config["default"].base_model_name_or_path = "tiny"
        model.save_pretrained(folder / name)
    return {name: folder / name for name in ADAPTERS}


@contextmanager
def served(adapters=None, settings=None, model="tiny", dtype="float32", **limits):
    """Serve a model in a thread; yields the address without /v1, and the service."""
    opened = {name: open_adapter(str(folder)) for name, folder in (adapters or {}).items()}
    loaded, tokenizer = load_adapted(model, opened, dtype=dtype)
    loaded.eval()
    service = Service.open(ServedModels(loaded, "tiny"), tokenizer, settings or Settings(), **limits)
    bound, ready = bind("127.0.0.1", 0), threading.Event()
    config = uvicorn.Config(build_app(service), log_config=None, access_log=False, lifespan="off", ws="none")
    server = _Server(config, ready.set)
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield url_of("127.0.0.1", bound.getsockname()[1]), service
    finally:
        server.should_exit = True
        thread.join()
        service.close()
        bound.close()


HTTP = httpx.Client(timeout=60)  # one for all, because each prepares TLS


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


def unended(server, monkeypatch):
    monkeypatch.setattr("hrm_align.rollouts.local._draw", unending(server[1]))
