"""A server in this process, as `hrm-align serve` runs it: the tiny base with two adapters."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import torch
import uvicorn
from peft import LoraConfig, get_peft_model

from hrm_align.models.adapters import load_adapted, open_adapter
from hrm_align.models.loading import load_model
from hrm_align.serve.address import bind, url_of
from hrm_align.serve.http import _Server
from hrm_align.serve.models import ServedModels
from hrm_align.serve.server import Service, Settings, build_app

ADAPTERS = ("red", "blue")


def save_adapters(folder):
    """Two adapters with random weights, which change most answers."""
    for seed, name in enumerate(ADAPTERS):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(load_model("tiny"), config)
        model.peft_config["default"].base_model_name_or_path = "tiny"
        model.save_pretrained(folder / name)
    return {name: folder / name for name in ADAPTERS}


@contextmanager
def served(adapters=None, settings=None, model="tiny", **limits):
    """Serve a model in a thread; yields the address without /v1, and the service."""
    opened = {name: open_adapter(str(folder)) for name, folder in (adapters or {}).items()}
    loaded, tokenizer = load_adapted(model, opened)
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
