"""`hrm-align serve --model M`: answer OpenAI's protocol over HTTP, with the layout and the mask of training."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from hrm_align.commands.common import CommandParser, load
from hrm_align.errors import Terminated, UserError
from hrm_align.output import emit, results
from hrm_align.serve.address import bind, is_loopback, url_of

KEY = "HRM_ALIGN_API_KEY"
LIBRARIES = ("fastapi", "uvicorn", "prometheus_client")


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser(
        "serve",
        "Answer OpenAI's protocol over HTTP (chat and plain completions, streams, tools), with a page to chat in. The API key is read from "
        f"the environment variable {KEY}. Needs the extra `serve`: pip install 'hrm_align[serve]'.",
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="serve the model with this adapter too, under NAME; may be repeated",
    )
    parser.add_argument("--served_model_name", help="name of --model for clients (default: the last part of its path)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen at; 0 chooses a free one (default 8000)")
    parser.add_argument(
        "--no_api_key", action="store_true", help=f"listen at other addresses than loopback without {KEY}"
    )
    parser.add_argument(
        "--max_running",
        type=int,
        default=32,
        help="answers that are written at the same time (default 32); further requests wait",
    )
    parser.add_argument(
        "--max_queue", type=int, default=256, help="requests that wait at most (default 256); further ones get a 429"
    )
    parser.add_argument(
        "--request_timeout",
        type=float,
        default=600.0,
        help="seconds from a request to the end of its answer (default 600)",
    )
    parser.add_argument(
        "--max_new_tokens",
        type=int,
        help="longest answer, in tokens, and the default of max_tokens (default: the context)",
    )
    parser.add_argument(
        "--allow_origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="web pages that may use the server (CORS); may be repeated",
    )
    parser.add_argument(
        "--engine", choices=["local", "vllm"], default="local", help="what computes (default local: this package)"
    )
    parser.add_argument(
        "--engine_python", metavar="PATH", help="with --engine vllm: Python of an environment that has vLLM"
    )
    parser.add_argument(
        "--engine_args",
        default="",
        metavar="WORDS",
        help='with --engine vllm: further arguments of vLLM, such as --engine_args="--enforce-eager"',
    )
    arguments = parser.parse_args(argv)
    key = os.environ.get(KEY, "")
    _check(arguments, key)
    try:
        (_serve_vllm if arguments.engine == "vllm" else _serve_local)(arguments, key)
    except (KeyboardInterrupt, Terminated) as stop:
        stop.add_note("the server has ended, and no answer runs any more.")
        raise


def _check(arguments: Namespace, key: str) -> None:
    """Raise UserError for settings that do not fit together, or libraries that are missing."""
    if not is_loopback(arguments.host) and not key and not arguments.no_api_key:
        raise UserError(
            f"--host {arguments.host} is reached from other machines, and without an API key anyone there may use the model. Set {KEY}, or "
            "add --no_api_key."
        )
    if key != key.strip() or not key.isprintable() or not key.isascii():
        raise UserError(
            f"{KEY} must be printable ASCII without blanks around it, because it is sent in a header. Set another key."
        )
    if arguments.engine == "vllm":
        given = [f"--{name}" for name in ("adapter", "allow_origin") if getattr(arguments, name)]
        given += ["--max_new_tokens"] * (arguments.max_new_tokens is not None)
        if given:
            merge = " Merge the adapter first (hrm-align adapters merge)." if arguments.adapter else ""
            raise UserError(f"{given[0]} has no effect with --engine vllm: leave it out.{merge}")
        return
    if arguments.engine_python or arguments.engine_args:
        raise UserError(
            "--engine_python and --engine_args have no effect without --engine vllm. Add it, or leave them out."
        )
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise UserError(f"this command needs {', '.join(missing)}: pip install 'hrm_align[serve]'.")


def _serve_local(arguments: Namespace, key: str) -> None:
    from hrm_align.models.adapters import is_adapter
    from hrm_align.serve.http import run_app
    from hrm_align.serve.models import ServedModels
    from hrm_align.serve.server import Service, Settings, build_app

    bound = bind(arguments.host, arguments.port)  # before the model is loaded, which takes longer
    model, tokenizer = load(arguments)
    model.eval()
    is_named_adapter = is_adapter(arguments.model)
    base = arguments.served_model_name or ("base" if is_named_adapter else _name(arguments.model))
    if base in getattr(model, "peft_config", {}):
        raise UserError(
            f"the model and an adapter have the same name, {base}. Give another with --served_model_name, or --adapter NAME=FOLDER."
        )
    models = ServedModels(model, base, max_running=arguments.max_running)
    names = [*models.names[1:], base] if is_named_adapter else models.names
    settings = Settings(
        key=key,
        timeout=arguments.request_timeout,
        origins=arguments.allow_origin,
        local_only=is_loopback(arguments.host) and not key,
    )
    service = Service.open(
        models,
        tokenizer,
        settings,
        names=names,
        max_running=arguments.max_running,
        max_queue=arguments.max_queue,
        max_new_tokens=arguments.max_new_tokens,
    )
    url = url_of(arguments.host, bound.getsockname()[1])
    try:
        run_app(build_app(service), bound, _reporter(arguments, url, names, service.limits.context))
    finally:
        service.close()


def _name(model: str) -> str:
    return Path(model).expanduser().absolute().name or model


def _reporter(arguments: Namespace, url: str, names: Sequence[str], context: int) -> Callable[[], None]:
    """Return what reports that the server is ready: a line on standard error, and with --json an object on standard output."""

    def report() -> None:
        page = "" if arguments.engine == "vllm" else f" Page to chat in: {url}/."
        print(
            f"Serving {', '.join(names)} at {url}/v1 (context {context:,}).{page} Stop with Ctrl-C.",
            file=sys.stderr,
            flush=True,
        )
        if arguments.json:
            emit(json.dumps({"url": f"{url}/v1", "models": list(names), "context": context}))
            results().flush()

    return report


def _serve_vllm(arguments: Namespace, key: str) -> None:
    import shlex

    from transformers import AutoConfig

    from hrm_align.models.adapters import is_adapter
    from hrm_align.serve.vllm import build_command, check_python, run_vllm

    python = check_python(arguments.engine_python)
    if is_adapter(arguments.model):
        raise UserError(
            f"vLLM does not load adapters of this model: merge {arguments.model} first (hrm-align adapters merge)."
        )
    try:
        context = AutoConfig.from_pretrained(arguments.model).max_position_embeddings
    except (OSError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise UserError(
            f"cannot read the model {arguments.model} ({reason}). Name an exported folder or a Hub id."
        ) from None
    with bind(arguments.host, arguments.port) as free:
        port = free.getsockname()[1]
    name, url = arguments.served_model_name or _name(arguments.model), url_of(arguments.host, port)
    folder = Path(arguments.model).expanduser()
    command = build_command(
        python, str(folder.absolute()) if folder.is_dir() else arguments.model, name, host=arguments.host, port=port, context=context,
        max_running=arguments.max_running, dtype=arguments.dtype, more=shlex.split(arguments.engine_args),
    )  # fmt: skip
    run_vllm(command, url, key, _reporter(arguments, url, [name], context))
