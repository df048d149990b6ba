"""`hrm-align chat --model M`: a conversation in the terminal, or over a pipe, with the layout and mask of training."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress

from rich.console import Console
from rich.text import Text

from hrm_align.commands.common import CommandParser, load
from hrm_align.errors import RunError, Terminated, UserError
from hrm_align.output import emit, escape, results
from hrm_align.rendering import DEFAULT_CONDITION, parse_condition
from hrm_align.serve.chat import INTERRUPTED, Chat, ChatSettings, Exchange
from hrm_align.serve.chat_commands import run_command, text_of
from hrm_align.serve.models import ServedModels

PROMPT, CONTINUED = "> ", ". "


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser(
        "chat",
        "Talk to a model: every line is a turn, and lines that begin with a slash are commands (/help). Over a pipe, standard output has "
        "the answers alone.",
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="[NAME=]FOLDER",
        help="load an adapter, for /adapter NAME; may be repeated, and the first one answers at first",
    )
    parser.add_argument("--system", default="", help="a system text before the conversation")
    parser.add_argument(
        "--condition", default=DEFAULT_CONDITION, help="condition tags, joined by commas (default direct)"
    )
    parser.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    parser.add_argument(
        "--temperature", type=float, default=0.0, help="0 for greedy decoding, above 0 for sampling (default 0)"
    )
    parser.add_argument(
        "--top_p",
        type=float,
        default=1.0,
        help="sample from the most probable tokens that together have this probability (default 1: all)",
    )
    parser.add_argument("--seed", type=int, help="seed of the sampling (default: a random one)")
    arguments = parser.parse_args(argv)
    condition = ",".join(parse_condition(arguments.condition))
    settings = ChatSettings(arguments.max_new_tokens, arguments.temperature, arguments.top_p, arguments.seed)
    if sys.stdin is None:
        raise UserError("standard input is closed, and the texts are read from it. Open it, for example with `< FILE`.")
    model, tokenizer = load(arguments)
    models = ServedModels(model.eval(), max_running=1)
    chat = Chat(models, tokenizer, system=arguments.system.strip(), condition=condition, settings=settings)
    terminal = _Terminal(chat, json_lines=arguments.json)
    try:
        terminal.greet(arguments.model)
        terminal.run()
    except (KeyboardInterrupt, Terminated) as stop:
        stop.add_note("nothing is lost." if chat.is_saved else "the conversation was not saved (/save FILE).")
        raise
    finally:
        models.close()


class _Terminal:
    """Reads lines, and prints answers to standard output and everything else to standard error.

    Args:
        chat: the conversation.
        json_lines: print a JSON object for each answer.
    """

    def __init__(self, chat: Chat, json_lines: bool):
        self.chat, self.json_lines = chat, json_lines
        self.is_interactive = sys.stdin.isatty()
        self.is_shown = results().isatty()  # whether answers go to a terminal, which they must not control
        self.line = 0  # number of the last line that was read
        if self.is_interactive and self.is_shown:
            with suppress(ImportError):
                import readline  # noqa: F401  makes `input` edit lines and remember them
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")

    def greet(self, model: str) -> None:
        """Print what answers, and how to get help."""
        if self.is_interactive:
            chat = self.chat
            named = f", adapter {chat.adapter}" if len(chat.models.names) > 1 else ""
            self.say(f"{model}{named}, condition {chat.condition or 'none'}. /help lists the commands, Ctrl-D leaves.")

    def run(self) -> None:
        """Answer until the end of the input or /quit.

        Raises:
            UserError: for the first mistake in lines that do not come from a terminal.
            RunError: if the engine fails at such a line.
        """
        for text in self.texts():
            try:
                if not self.respond(text):
                    return
            except UserError as error:
                if not self.is_interactive:
                    raise UserError(f"standard input, line {self.line}: {escape(str(error))}") from None
                self.say(f"error: {error}")
            except RunError as error:  # the engine's: a person can try again
                if not self.is_interactive:
                    raise
                self.say(f"error: {error}")

    def respond(self, text: str) -> bool:
        """Run a command or answer a text; returns False to leave."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UserError("the text is not UTF-8, and was not sent. Convert it first.") from None
        if (sent := text_of(text)) is not None:
            self.answer(self.chat.ask(sent))
            return True
        done = run_command(self.chat, text)
        self.say(*done.lines)
        if done.then == "retry":
            self.answer(self.chat.retry())
        return done.then != "quit"

    def answer(self, pieces: Iterator[str]) -> None:
        """Print an answer while it is written, and say how it ended unless the model ended it."""
        out = results()
        with self.interruptible():
            for piece in pieces:
                if piece and not self.json_lines:
                    out.write(escape(piece) if self.is_shown else piece)
                    out.flush()
        latest = self.chat.latest
        assert latest is not None
        emit(json.dumps(latest.to_dict()) if self.json_lines else "")
        out.flush()
        self.say(*self.describe_end(latest))

    def describe_end(self, latest: Exchange) -> list[str]:
        """Return lines on an answer that the model did not end, or that is empty."""
        tokens = len(latest.ids)
        if latest.finish == INTERRUPTED:
            return [
                f"interrupted: the {tokens:,} tokens so far stay as the answer. /retry writes it anew, /undo removes it."
            ]
        if latest.finish == "length" and tokens < self.chat.settings.max_new_tokens:
            return [f"cut: the context of {self.chat.context:,} tokens is full. Take turns back with /undo, or /clear."]
        if latest.finish == "length":
            return [
                f"cut at {tokens:,} tokens (max_new_tokens). For a longer answer: /set max_new_tokens {2 * tokens}, then /retry."
            ]
        return [] if latest.text.strip() else ["the answer is empty: the model ended it at once."]

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C end the answer. Without a person at the keyboard it ends the command, as everywhere."""
        if not self.is_interactive:
            yield
            return
        before = signal.signal(signal.SIGINT, lambda *_: self.chat.interrupt())
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def say(self, *lines: str) -> None:
        """Print lines that are not answers."""
        console = Console(stderr=True)
        for line in lines:
            console.print(Text(escape(line), style="dim"), soft_wrap=True)

    def texts(self) -> Iterator[str]:
        """Yield the lines of the input that are not blank; an odd number of backslashes at the end continues a line on the next."""
        parts: list[str] = []
        while (line := self.read(CONTINUED if parts else PROMPT)) is not None:
            self.line += 1
            if (len(line) - len(line.rstrip("\\"))) % 2:
                parts.append(line[:-1])
                continue
            text = "\n".join([*parts, line])
            parts = []
            if text.strip():
                yield text
        if "".join(parts).strip():
            yield "\n".join(parts)

    def read(self, prompt: str) -> str | None:
        """Read a line; None at the end of the input."""
        if not self.is_interactive:
            line = sys.stdin.readline()
            return line.removesuffix("\n") if line else None
        try:
            # `input` edits lines only where standard output is the terminal; elsewhere its prompt goes to standard error.
            with redirect_stdout(results() if self.is_shown else sys.stderr):
                return input(prompt)
        except EOFError:
            print(file=sys.stderr)
            return None
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise
