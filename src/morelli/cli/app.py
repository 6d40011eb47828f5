"""The program ``morelli``: finds the command, runs it, and turns what went wrong into one line and an exit status.

Exit status: 0 done, 1 a named problem with the input, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from morelli._version import __version__
from morelli.cli.output import emit_json, error_json, refusal, say, say_error
from morelli.errors import MorelliError

#: Command → module. A module has ``register(app)``, which adds that one command (``app.command``) or group
#: (``app.add_typer``) to a Typer; it imports what is heavy inside the command, so that help stays quick.
COMMANDS: dict[str, str] = {
    "gallery": "morelli.cli.gallery",
    "identify": "morelli.cli.identify",
    "check": "morelli.cli.check",
    "verify": "morelli.cli.verify",
    "lineage": "morelli.cli.lineage",
    "claims": "morelli.cli.claims",
    "generate": "morelli.cli.generate",
    "evaluate": "morelli.cli.evaluate",
    "exposure": "morelli.cli.exposure",
    "simulate-votes": "morelli.cli.simulate_votes",
    "protect": "morelli.cli.protect",
    "synthesize": "morelli.cli.synthesize",
    "train": "morelli.cli.train",
    "serve": "morelli.cli.serve",
    "report": "morelli.cli.report",
    "doctor": "morelli.cli.doctor",
}

_TRACEBACK_VARIABLE = "MORELLI_TRACEBACK"
_OFF = ("", "0", "false", "no")


class _Commands(Mapping[str, Any]):
    """The commands by name; a module is imported when its command is looked up."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            holder = typer.Typer()
            importlib.import_module(self._modules[name]).register(holder)
            self._loaded[name] = typer.main.get_group(holder).commands[name]
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class _StoppedError(Exception):
    """Carries an error past typer, which would end the program its own way."""


class _Group(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (MorelliError, OSError, KeyboardInterrupt) as error:
            raise _StoppedError from error


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"morelli {__version__}")
        raise typer.Exit


def build(modules: Mapping[str, str] = COMMANDS) -> TyperGroup:
    """The command line with these commands."""
    app = typer.Typer(cls=_Group, name="morelli", no_args_is_help=True)

    # The docstring is the help text.
    @app.callback()
    def morelli(
        version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
        ] = False,
        # Taken out of the arguments before typer sees them; declared here for the help.
        trace: Annotated[
            bool, typer.Option("--traceback", help=f"Show where an error came from (or set {_TRACEBACK_VARIABLE}=1).")
        ] = False,
    ) -> None:
        """Which text-to-image model made this image, how sure are we, and what is the evidence?"""

    group = typer.main.get_group(app)
    group.commands = cast("Any", _Commands(modules))
    return group


def _split_traceback(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--traceback``, wherever it stood before a ``--``, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    kept = [a for a in arguments[:end] if a != "--traceback"]
    wanted = len(kept) < end or os.environ.get(_TRACEBACK_VARIABLE, "").lower() not in _OFF
    return kept + list(arguments[end:]), wanted


def _run(group: TyperGroup, arguments: list[str]) -> int:
    """Run a command; its exit status. Wrong usage is explained by typer on stderr."""
    try:
        group.main(arguments, prog_name="morelli")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except _StoppedError as stopped:
        raise cast("BaseException", stopped.__cause__) from None
    return 0


def _explain(error: MorelliError | OSError, traced: bool, as_json: bool) -> int:
    """One line on stderr that says what went wrong and what to do; an unexpected error of the system is passed on."""
    problem = error if isinstance(error, MorelliError) else refusal(error)
    if problem is None:
        raise error
    if traced:
        traceback.print_exception(error)
    say_error(problem)
    if as_json:
        emit_json(error_json(problem))
    return 1


def _no_more_output() -> int:
    """The reader of stdout is gone (``morelli … | head``): stay silent, also when Python flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, as a program without a handler ends


def main(arguments: Sequence[str] | None = None, modules: Mapping[str, str] = COMMANDS) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after ``morelli``; ``sys.argv[1:]`` where not given.
    modules : mapping of str to str
        Command → module.

    Returns
    -------
    int
        The exit status.
    """
    given, traced = _split_traceback(list(sys.argv[1:] if arguments is None else arguments))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name in another encoding must not end the program
    try:
        try:
            status = _run(build(modules), given)
        except BrokenPipeError:
            raise
        except (MorelliError, OSError) as error:
            status = _explain(error, traced, "--json" in given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:
        return _no_more_output()
    return status
