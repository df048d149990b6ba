"""A terminal of 80 columns to print to: a pseudo-terminal, and what its screen shows in the end."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WIDTH = 80
_TOKENS = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n])")


class Terminal:
    """A terminal.

    Attributes:
        path: device file to write to.
        raw: everything that was written to it, once it is closed.
    """

    def __init__(self):
        self._master, self._slave = os.openpty()
        self.path, self.raw = Path(os.ttyname(self._slave)), ""
        self._reader = threading.Thread(target=self._read, daemon=True)  # its buffer holds only 4 KB
        self._reader.start()

    def _read(self):
        written = b""
        while True:
            try:
                part = os.read(self._master, 1 << 16)
            except OSError:  # the last writer has closed it
                part = b""
            if not part:
                self.raw = written.decode()
                return
            written += part

    def close(self):
        os.close(self._slave)
        self._reader.join(timeout=10)
        os.close(self._master)

    @property
    def screen(self) -> list[str]:
        """The lines on the screen, after carriage returns, movements of the cursor and erased lines."""
        lines, row, column = [""], 0, 0
        for numbers, command, back, new, character in _TOKENS.findall(self.raw):
            if back:
                column = 0
            elif command == "A":
                row = max(0, row - int(numbers or 1))
            elif command == "K":
                lines[row] = "" if numbers == "2" else lines[row][:column]
            elif command:
                assert command in "mhl", f"the test's terminal does not know {command}"
            else:
                if new or column == WIDTH:
                    row, column = row + 1, column if new else 0
                    lines += [""] * (row + 1 - len(lines))
                if character:
                    line = lines[row].ljust(column)
                    lines[row] = line[:column] + character + line[column + 1 :]
                    column += 1
        return [line.rstrip() for line in lines]


@contextmanager
def terminal_as_stderr(monkeypatch) -> Iterator[Terminal]:
    """Make a terminal the standard error of this process."""
    for name in ("TTY_COMPATIBLE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("TERM", "xterm"), ("COLUMNS", str(WIDTH)), ("LINES", "40")):
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    with terminal.path.open("w", buffering=1) as stream, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        yield terminal
    terminal.close()
