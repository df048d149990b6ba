"""Stock Transformers in a process that holds no hrm_align, for each folder that an export asks about.

An export proves itself in a fresh process; importing Transformers there takes four seconds. Here `forks.STOCK` has imported it for
all tests of a worker, and runs `hrm_align/export/stock.py` in a fork of itself. One test of test_export.py keeps the process that an
export starts by itself.
"""

from tests.forks import STOCK


def run(command, *, env, **_):
    """In the place of `subprocess.run` for `python -I stock.py FOLDER ROWS ...`."""
    assert command[1] == "-I" and command[2].endswith("stock.py")
    return STOCK.run(None, *map(str, command[2:]), env=env)
