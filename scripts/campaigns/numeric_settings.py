"""Run the tests that compare floats under every instruction set that this processor can emulate.

    python scripts/campaigns/numeric_settings.py                         # the suite's tests marked `numeric` in eight settings
    python scripts/campaigns/numeric_settings.py -- -m "numeric and campaign"    # those that the suite leaves out, hours
    python scripts/campaigns/numeric_settings.py --only oldest native --threads 1 -- tests/parity
    python scripts/campaigns/numeric_settings.py --everything            # the whole suite, oldest and native set

A setting is one of four instruction sets with one or two threads. ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and MKL's settings apply
to a whole process, so each setting has its own process; three settings run at a time. Tests that start two training processes use
one thread in each process, so they run only in the settings with one thread. A probe reports which instructions PyTorch, oneDNN
and MKL use, and a digest of products, attention and exponentials. A setting that did not take effect is an error.

On processors that are not Intel's, MKL ignores MKL_ENABLE_INSTRUCTIONS. There the script preloads a small library, built with a C
compiler, that reports an Intel processor to MKL. An AMD machine can then run the kernels with which a test failed on an Intel one.

Prints a table of the passed and failed tests and their times, and the tests that used the largest share of their tolerance. A test
whose result depends on the setting and that uses more than a third of its tolerance is reported, because it may fail on another
machine. Exit code 1 if a test failed or a setting did not take effect.
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
MOST_USED = 1 / 3  # largest share of its tolerance that a test may use without a report
AT_A_TIME = 3  # settings that run in parallel; on two cores, because tests wait for processes and clocks
# With two threads, leave out the tests that start processes with one thread each.
WITHOUT_PROCESSES = ["-k", "not two_processes and not fsdp"]


@dataclass(frozen=True)
class InstructionSet:
    """Environment variables, and regular expressions for the reports of PyTorch, oneDNN and MKL under them."""

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
    "native": InstructionSet({}),
    "avx2": InstructionSet(
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        "AVX2", "AVX2", "AVX2",
    ),
    "avx512": InstructionSet(
        {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
        "AVX512", "AVX-512", "AVX-512",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Probe:
    """The instruction sets that the libraries report in a fresh process, and a digest of results."""

    aten: str
    onednn: str
    mkl: str
    digest: str

    def missing(self, wanted: InstructionSet) -> list[str]:
        """Return the libraries that do not use the wanted instruction set."""
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
a.to_mkldnn()  # makes oneDNN report even where PyTorch computes the bfloat16 product
results = [a @ b, a[:5, :32] @ b[:32], (a.bfloat16() @ b.bfloat16()).float(), attend(q, q, q), a.exp(), a.log_softmax(-1)]
digest = hashlib.sha256(b"".join(result.contiguous().numpy().tobytes() for result in results)).hexdigest()[:8]
print(json.dumps({"aten": torch.backends.cpu.get_cpu_capability(), "digest": digest}))
"""


def build_environment(name: str, threads: int, scratch: Path, preload: Path | None) -> dict[str, str]:
    """Return the environment of a setting: this process's environment with other variables of instruction sets removed."""
    wanted = SETS[name]
    ours = {name for chosen in SETS.values() for name in chosen.environment}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= wanted.environment | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # spinning threads would take the cores from the other process
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # rewriting the assertions anew takes seconds in each setting
    # PyTorch's compile cache does not distinguish instruction sets, so each set has its own cache.
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(scratch / f"compiled-{name}")
    if wanted.asks_mkl and preload:
        environment["LD_PRELOAD"] = str(preload)
    return environment


def probe(environment: dict[str, str]) -> Probe:
    """Run the probe in a fresh process. MKL and oneDNN report on standard output which instructions they use."""
    verbose = environment | {"MKL_VERBOSE": "1", "ONEDNN_VERBOSE": "1"}
    done = subprocess.run([sys.executable, "-c", PROBE], env=verbose, capture_output=True, text=True, check=True)
    (report,) = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    onednn = re.search(r"info,cpu,isa:(.*)", done.stdout)
    mkl = re.search(r"MKL_VERBOSE .* architecture (.*), Lnx", done.stdout)
    name = re.search(r"\(Intel\(R\) ([\w.-]+)\)", mkl[1]) if mkl else None
    modes = sorted(set(re.findall(r"CNR:(?!OFF)\w+", done.stdout)))
    return Probe(
        aten=report["aten"],
        onednn=onednn[1].removeprefix("Intel ") if onednn else "nothing",
        mkl=" ".join([name[1] if name else "generic", *modes]),
        digest=report["digest"],
    )


def library_for_mkl(folder: Path) -> Path | None:
    """Build the library that reports an Intel processor to MKL. Returns None on Intel processors or without a C compiler."""
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
    """The result of the tests under one setting."""

    summary: str
    failures: list[str]
    red: bool
    seconds: float
    cpu_seconds: float


def run_tests(environment: dict[str, str], selected: Sequence[str], used: Path) -> Outcome:
    """Run pytest in a fresh process; the tolerance plugin writes to `used`."""
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
    running.returncode = os.waitstatus_to_exitcode(status)  # otherwise the destructor of Popen would wait again
    output_text = log.read_text()
    lines = output_text.splitlines()
    failures = [line.removeprefix("FAILED ") for line in lines if line.startswith(("FAILED ", "ERROR "))]
    if running.returncode and not failures:
        failures = [output_text[-4000:]]
    summary = re.sub(r"(, \d+ (deselected|warnings?))| in [\d.]+s.*|=+ ?", "", lines[-1] if lines else "no output")
    return Outcome(
        summary, failures, running.returncode != 0, time.perf_counter() - start, spent.ru_utime + spent.ru_stime
    )


@dataclass
class Use:
    """The largest share of its tolerance that an assertion used, over all parameters and settings."""

    share: float
    setting: str
    test: str
    comparison: str
    varies: bool = False  # whether the share depends on the setting; the share of a count or an interval does not


def collect_uses(paths: Iterable[tuple[str, Path]]) -> list[Use]:
    """Return the largest use of each assertion, in descending order."""
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


def list_marked() -> list[str]:
    """Return the test files that contain the mark `numeric`; importing the others would take each setting seconds."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "mark.numeric" in file.read_text()]


def describe_setting(name: str, threads: int) -> str:
    """Return the name of a setting, for example "avx2, 1 thread"."""
    return f"{name}, {threads} {'thread' if threads == 1 else 'threads'}"


def main(argv: Sequence[str]) -> int:
    """Run the settings and print the tables. Returns 1 if a test failed or a setting did not take effect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), help="instruction sets to run")
    parser.add_argument("--threads", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--everything", action="store_true", help="the whole suite: oldest and native, one thread")
    parser.add_argument(
        "--show", type=int, default=15, help="number of tests to list, those that used most of their tolerance"
    )
    parser.add_argument("pytest", nargs="*", help="after --: more arguments for pytest")
    arguments = parser.parse_args(argv)
    console = Console()
    if arguments.everything:
        arguments.only, arguments.threads = ["oldest", "native"], [1]
    selected = arguments.pytest
    if not arguments.everything:
        selected = ["-m", "numeric and not campaign", *(arguments.pytest or list_marked())]
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
            environment = build_environment(name, threads, Path(scratch), preload)
            tests = selected if threads == 1 else [*WITHOUT_PROCESSES, *selected]
            reported = probe(environment)
            outcome = run_tests(environment, tests, Path(scratch) / f"{name}-{threads}.jsonl")
            console.print(
                f"{describe_setting(name, threads)}: {outcome.summary}, {outcome.seconds:.0f} s", markup=False
            )
            return reported, outcome

        settings = [(name, threads) for name in arguments.only for threads in arguments.threads]  # the slowest first
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            outcomes = list(pool.map(run_setting, *zip(*settings, strict=True)))
        for (name, threads), (reported, outcome) in zip(settings, outcomes, strict=True):
            setting = describe_setting(name, threads)
            wrong += [f"{setting}: not in effect: {part}" for part in reported.missing(SETS[name])]
            if (same := digests.setdefault((threads, reported.digest), setting)) != setting:
                wrong.append(f"{setting}: not in effect: its results equal those of {same} to the last bit")
            used.append((setting, Path(scratch) / f"{name}-{threads}.jsonl"))
            wrong += [f"{setting}: {failure}" for failure in outcome.failures]
            figures = (outcome.summary, f"{outcome.seconds:.0f}", f"{outcome.cpu_seconds:.0f}")
            row = (name, str(threads), reported.aten, reported.onednn, reported.mkl, reported.digest, *figures)
            table.append(f"| {' | '.join(row)} |")
        uses = collect_uses(used)
    table.append(f"\n{len(settings)} settings in {(time.perf_counter() - start) / 60:.1f} minutes")
    print("\n".join(table))
    print("\n| share of the tolerance | setting | test | comparison |\n| --- | --- | --- | --- |")
    for use in uses[: arguments.show]:
        print(f"| {use.share:.2f} | {use.setting} | {use.test.removeprefix('tests/')} | {use.comparison} |")
    for use in uses:
        if use.varies and use.share > MOST_USED:
            console.print(
                f"warning: {use.test} uses {use.share:.2f} of its tolerance ({use.setting}): {use.comparison}. "
                "Widen the tolerance or compare in float64.",
                style="yellow",
                markup=False,
                soft_wrap=True,
            )
    for line in wrong:
        console.print(line, style="red", markup=False, soft_wrap=True)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
