"""A process that has imported stock Transformers, and forks for each folder that an export asks about.

An export proves itself in a fresh process that holds no hrm_align; importing Transformers there takes four seconds. Here one
process imports it for all tests of a worker, holds no hrm_align either, and runs `hrm_align/export/stock.py` in a fork of itself.
One test of test_export.py keeps the process that an export starts by itself.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

SERVER = """
import json, os, runpy, sys, traceback
import torch, transformers, peft
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.hrm_text import modeling_hrm_text
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        for number, path in ((1, asked["out"]), (2, asked["err"])):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["folder"])
        sys.argv, code = asked["words"], 0
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_server: list[subprocess.Popen] = []


def run(command, *, env, **_):
    """In the place of `subprocess.run` for `python -I stock.py FOLDER ROWS ...`."""
    assert command[1] == "-I" and command[2].endswith("stock.py")
    if not _server or _server[0].poll() is not None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        _server[:] = [subprocess.Popen([sys.executable, "-I", "-c", SERVER], text=True, **pipes)]
    with tempfile.TemporaryDirectory() as scratch:
        out, err = Path(scratch) / "out", Path(scratch) / "err"
        asked = {"words": command[2:], "env": dict(env), "out": str(out), "err": str(err), "folder": os.getcwd()}
        _server[0].stdin.write(json.dumps(asked) + "\n")
        _server[0].stdin.flush()
        code = int(_server[0].stdout.readline())
        return SimpleNamespace(returncode=code, stdout=out.read_text(), stderr=err.read_text())
