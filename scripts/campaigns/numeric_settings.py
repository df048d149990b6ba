"""Run the tests that compare floats under every instruction set that this processor can imitate.

    python scripts/campaigns/numeric_settings.py                         # the tests marked `numeric` in eight settings
    python scripts/campaigns/numeric_settings.py --only oldest native --threads 1 -- tests/parity
    python scripts/campaigns/numeric_settings.py --everything            # the whole suite in the lowest and the highest

Four instruction sets by one and two threads. ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and MKL's settings hold for a whole
process, so each setting has a process of its own; two settings run at a time. Tests of two training processes, which have one
thread each whatever the setting, run with one. A probe reports what PyTorch, oneDNN and MKL say they use, and a digest of
products, attention and exponentials; a setting that did not take effect is an error.

Off Intel's processors MKL ignores MKL_ENABLE_INSTRUCTIONS. There a small library, which needs a C compiler, answers for the
processor when MKL asks who made it: so an AMD machine runs the kernels in which a test failed on an Intel one.

Prints a table of what passed, failed and took how long, and the tests that used most of their tolerance. One whose result
depends on the setting and that uses more than a third of its tolerance is named: it would soon fail on another machine. Exit
code 1 if a test failed or a setting did not take effect.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[2]
ANSWERS_FOR_INTEL = "int mkl_serv_intel_cpu(void) { return 1; }\nint mkl_serv_intel_cpu_true(void) { return 1; }\n"
MOST_USED = 1 / 3  # of a tolerance
AT_A_TIME = 2  # settings
ONCE = ["-k", "not two_processes and not fsdp"]  # which start processes of one thread each, whatever the setting


@dataclass(frozen=True)
class InstructionSet:
    """What is set, and what PyTorch, oneDNN and MKL must then report (regular expressions)."""

    environment: dict[str, str]
    aten: str = ""
    onednn: str = ""
    mkl: str = ""

    @property
    def asks_mkl(self) -> bool:
        return "MKL_ENABLE_INSTRUCTIONS" in self.environment


SETS = {
    "oldest": InstructionSet(
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
        "DEFAULT", r"SSE4\.1", "CNR:COMPATIBLE",
    ),
    "avx2": InstructionSet(
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        "AVX2", "AVX2", "AVX2",
    ),
    "avx512": InstructionSet(
        {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
        "AVX512", "AVX-512", "AVX-512",
    ),
    "native": InstructionSet({}),
}  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """What a fresh process reports of itself."""

    aten: str
    onednn: str
    mkl: str
    digest: str

    def missing(self, wanted: InstructionSet) -> list[str]:
        """The libraries that do not use what was set."""
        pairs = {
            "PyTorch": (wanted.aten, self.aten),
            "oneDNN": (wanted.onednn, self.onednn),
            "MKL": (wanted.mkl, self.mkl),
        }
        return [f"{name} uses {used}" for name, (pattern, used) in pairs.items() if not re.search(pattern, used)]


PROBE = """
import hashlib, json, numpy, torch
draw = numpy.random.default_rng(0)
a, b, q = (torch.from_numpy(draw.standard_normal(size).astype("float32")) for size in ((256, 512), (512, 64), (1, 2, 40, 16)))
attend = torch.nn.functional.scaled_dot_product_attention
a.to_mkldnn()  # so that oneDNN reports also where it leaves bfloat16 to PyTorch
results = [a @ b, a[:5, :32] @ b[:32], (a.bfloat16() @ b.bfloat16()).float(), attend(q, q, q), a.exp(), a.log_softmax(-1)]
digest = hashlib.sha256(b"".join(result.contiguous().numpy().tobytes() for result in results)).hexdigest()[:8]
print(json.dumps({"aten": torch.backends.cpu.get_cpu_capability(), "digest": digest}))
"""


def environment_of(name: str, threads: int, scratch: Path, preload: Path | None) -> dict[str, str]:
    """Of the processes of a setting: the caller's, without instruction sets of its own."""
    wanted = SETS[name]
    ours = {name for chosen in SETS.values() for name in chosen.environment}
    found = {name: value for name, value in os.environ.items() if name not in ours}
    found |= wanted.environment | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    found["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin would take the cores from the other process
    # PyTorch's compiler finds what it compiled before by its graph alone: kernels of another instruction set, too.
    found["TORCHINDUCTOR_CACHE_DIR"] = str(scratch / f"compiled-{name}")
    if wanted.asks_mkl and preload:
        found["LD_PRELOAD"] = str(preload)
    return found


def probe(environment: dict[str, str]) -> Probe:
    """Ask a fresh process. MKL and oneDNN report on standard output what they run."""
    verbose = environment | {"MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=verbose, capture_output=True, text=True, check=True)
    (told,) = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    onednn = re.search(r"info,cpu,isa:(.*)", done.stdout)
    mkl = re.search(r"MKL_VERBOSE .* architecture (.*), Lnx", done.stdout)
    name = re.search(r"\(Intel\(R\) ([\w.-]+)\)", mkl[1]) if mkl else None
    modes = sorted(set(re.findall(r"CNR:(?!OFF)\w+", done.stdout)))
    return Probe(
        aten=told["aten"],
        onednn=onednn[1].removeprefix("Intel ") if onednn else "nothing",
        mkl=" ".join([name[1] if name else "generic", *modes]),
        digest=told["digest"],
    )


def library_for_mkl(folder: Path) -> Path | None:
    """The library that lets MKL take instructions on other makes of processor; None on Intel's, or without a compiler."""
    if "GenuineIntel" in Path("/proc/cpuinfo").read_text():
        return None
    source, library = folder / "answers.c", folder / "answers.so"
    source.write_text(ANSWERS_FOR_INTEL)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


@dataclass(frozen=True)
class Outcome:
    """Of the tests under one setting."""

    summary: str
    failures: list[str]
    red: bool
    seconds: float
    cpu_seconds: float


def run_tests(environment: dict[str, str], selected: Sequence[str], used: Path) -> Outcome:
    """Run pytest in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "scripts.campaigns.tolerance_use",
        "--no-header",
        "--tb=short",
        "-rf",
    ]
    log, start = used.with_suffix(".log"), time.perf_counter()
    with log.open("w") as output:
        running = subprocess.Popen(
            [*command, *selected],
            env=environment | {"TOLERANCE_USE": str(used)},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, spent = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)  # or its destructor would wait again
    told = log.read_text()
    lines = told.splitlines()
    failures = [line.removeprefix("FAILED ") for line in lines if line.startswith(("FAILED ", "ERROR "))]
    if running.returncode and not failures:
        failures = [told[-4000:]]
    summary = re.sub(r"(, \d+ (deselected|warnings?))| in [\d.]+s.*|=+ ?", "", lines[-1] if lines else "nothing ran")
    return Outcome(
        summary, failures, running.returncode != 0, time.perf_counter() - start, spent.ru_utime + spent.ru_stime
    )


@dataclass
class Use:
    """Of a tolerance, by one assertion for one set of parameters or by several, over all settings."""

    share: float
    setting: str
    test: str
    comparison: str
    varies: bool = False  # with the setting: a count or an interval does not


def uses_of(paths: Iterable[tuple[str, Path]]) -> list[Use]:
    """The largest use of each assertion, the greatest first."""
    largest, first = dict[tuple[str, int], Use](), dict[tuple[str, int, int], float]()
    for setting, path in paths:
        seen: Counter[tuple[str, int]] = Counter()
        for line in path.read_text().splitlines() if path.exists() else ():
            share, test, number, comparison = json.loads(line)
            key = (test.split("[")[0], number)
            seen[test, number] += 1
            before = first.setdefault((test, number, seen[test, number]), share)
            use = largest.setdefault(key, Use(share, setting, test, comparison))
            use.varies |= abs(share - before) > 1e-3
            if share > use.share:
                largest[key] = Use(share, setting, test, comparison, use.varies)
    return sorted(largest.values(), key=lambda use: -use.share)


def words_of(name: str, threads: int) -> str:
    """A setting, for people."""
    return f"{name}, {threads} {'thread' if threads == 1 else 'threads'}"


def main(argv: Sequence[str]) -> int:
    """Run the settings, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), help="of the instruction sets")
    parser.add_argument("--threads", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--everything", action="store_true", help="the whole suite: oldest and native, one thread")
    parser.add_argument("--show", type=int, default=15, help="that many of the tests that used most of their tolerance")
    parser.add_argument("pytest", nargs="*", help="behind --: what to give to pytest besides `-m numeric`")
    arguments = parser.parse_args(argv)
    console = Console()
    if arguments.everything:
        arguments.only, arguments.threads = ["oldest", "native"], [1]
    selected = arguments.pytest if arguments.everything else ["-m", "numeric", *arguments.pytest]
    table = ["| setting | threads | PyTorch | oneDNN | MKL | digest | tests | seconds | CPU s |", "| --- " * 9 + "|"]
    wrong, used, digests, start = (
        list[str](),
        list[tuple[str, Path]](),
        dict[tuple[int, str], str](),
        time.perf_counter(),
    )
    with tempfile.TemporaryDirectory() as scratch:
        preload = library_for_mkl(Path(scratch))

        def run_setting(name: str, threads: int) -> tuple[Probe, Outcome]:
            environment = environment_of(name, threads, Path(scratch), preload)
            here = selected if threads == 1 else [*ONCE, *selected]
            found = probe(environment)
            outcome = run_tests(environment, here, Path(scratch) / f"{name}-{threads}.jsonl")
            console.print(f"{words_of(name, threads)}: {outcome.summary}, {outcome.seconds:.0f} s", markup=False)
            return found, outcome

        settings = [(name, threads) for threads in arguments.threads for name in arguments.only]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            outcomes = list(pool.map(run_setting, *zip(*settings, strict=True)))
        for (name, threads), (found, outcome) in zip(settings, outcomes, strict=True):
            setting = words_of(name, threads)
            wrong += [f"{setting}: not in effect, {part}" for part in found.missing(SETS[name])]
            if (same := digests.setdefault((threads, found.digest), setting)) != setting:
                wrong.append(f"{setting}: computes what {same} computes, to the last bit")
            used.append((setting, Path(scratch) / f"{name}-{threads}.jsonl"))
            wrong += [f"{setting}: {failure}" for failure in outcome.failures]
            figures = (outcome.summary, f"{outcome.seconds:.0f}", f"{outcome.cpu_seconds:.0f}")
            row = (name, str(threads), found.aten, found.onednn, found.mkl, found.digest, *figures)
            table.append(f"| {' | '.join(row)} |")
        uses = uses_of(used)
    table.append(f"\n{len(settings)} settings in {(time.perf_counter() - start) / 60:.1f} minutes")
    print("\n".join(table))
    print("\n| share of the tolerance | setting | test | compared |\n| --- | --- | --- | --- |")
    for use in uses[: arguments.show]:
        print(f"| {use.share:.2f} | {use.setting} | {use.test.removeprefix('tests/')} | {use.comparison} |")
    for use in uses:
        if use.varies and use.share > MOST_USED:
            console.print(
                f"little room: {use.test} ({use.setting}): {use.comparison}",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
    for line in wrong:
        console.print(line, style="red", markup=False, soft_wrap=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
