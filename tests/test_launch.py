"""The launch files: each is parsed like its tool does, and torchrun runs two nodes over loopback."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from hrm_align import run
from recipes.sft import main
from tests.trainers.recipe_runs import ROOT, arguments, launched_sft, metrics, weights, write_rows
from tests.trainers.resume.runs import forked

STEPS = ("--max_steps", "2", "--per_device_train_batch_size", "2", "--learning_rate", "1e-3", "--logging_steps", "1",
         "--save_strategy", "steps", "--save_steps", "1", "--use_cpu", "true")  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    made = [
        {"prompt": f"copy {word}", "response": word}
        for word in ["sun", "oak", "red", "hill", "sea", "fox", "tree", "star"]
    ]
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", made)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes/accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_its_files(path):
    config = load_config_from_file(str(path))
    assert config.num_machines == (2 if path.stem == "two_nodes" else 1)
    assert config.num_processes >= config.num_machines


def test_the_cluster_files_are_read_and_name_what_is_there():
    for script in ("torchrun.sh", "slurm.sh"):
        subprocess.run(["bash", "-n", ROOT / "recipes/launch" / script], check=True)
    directives = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in (ROOT / "recipes/launch/slurm.sh").read_text().splitlines()
        if line.startswith("#SBATCH")
    )
    assert "requeue" in directives and directives["signal"] == "TERM@120" and directives["ntasks-per-node"] == "1"
    job = yaml.safe_load((ROOT / "recipes/launch/kubernetes.yaml").read_text())["spec"]["template"]["spec"]
    assert job["restartPolicy"] == "Never", "podFailurePolicy requires it"
    assert job["terminationGracePeriodSeconds"] > 30, "torchrun waits 30 s before it kills its processes"
    command = job["containers"][0]["command"]
    assert all((ROOT / word).is_file() for word in (*command[:2], command[command.index("--config") + 1]))


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the launch script needs bash")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def two_nodes(folders: list[Path], data: Path, out: str, *flags: str) -> list[tuple[int, str]]:
    """Start the shipped torchrun script on two "machines", each in its own folder. Returns exit codes and outputs."""
    scripts = str(Path(sys.executable).parent)
    shared = {**os.environ, "HEAD": f"127.0.0.1:{free_port()}", "NODES": "2", "GPUS": "1", "RESTARTS": "0", "PYTHONPATH": str(ROOT),
              "OMP_NUM_THREADS": "1", "PATH": f"{scripts}:{os.environ['PATH']}", "RUN_ID": "loopback"}  # fmt: skip
    command = [ROOT / "recipes/launch/torchrun.sh", ROOT / "recipes/sft.py", *arguments(Path(out), data, *flags)]
    nodes = [
        subprocess.Popen(command, cwd=folder, env=shared, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for folder in folders
    ]
    try:
        outputs = [node.communicate(timeout=240)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    return [(node.returncode, text) for node, text in zip(nodes, outputs, strict=True)]


@pytest.mark.campaign
@needs_bash
def test_two_nodes_are_one(rows, tmp_path):
    """With a shared folder, two nodes with a process each give the weights of one node with two, to the last bit."""
    shared = tmp_path / "shared"
    for code, output in two_nodes([tmp_path, tmp_path], rows, str(shared), *STEPS):
        assert code == 0, output[-3000:]
    launched_sft(tmp_path / "one", rows, *STEPS, config="two_processes_cpu")
    ours, theirs = weights(shared), weights(tmp_path / "one")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [record["loss"] for record in metrics(shared)[:2]] == [
        record["loss"] for record in metrics(tmp_path / "one")[:2]
    ]


def on_a_node(folders: list[Path], data: Path, out: str, *flags: str) -> None:
    """Run what the launch script starts on each of two nodes."""
    run.SEEN_WITHIN = 1
    os.chdir(folders[int(os.environ["RANK"])])
    os.environ.update({"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"})
    main(arguments(Path(out), data, *flags))


def test_a_folder_for_each_node_is_refused(rows, tmp_path):
    folders = [tmp_path / "node0", tmp_path / "node1"]
    for folder in folders:
        folder.mkdir()
    codes = forked(tmp_path / "log", on_a_node, folders, rows, "runs/mine", *STEPS, ranks=2)
    output = (tmp_path / "log").read_text()
    assert all(codes), output[-3000:]
    errors = [line for line in output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "--output_dir" in errors[0] and "runs/mine" in errors[0], output[-3000:]
    assert not [path for folder in folders for path in folder.rglob("*") if path.is_file()], "nothing is left behind"
