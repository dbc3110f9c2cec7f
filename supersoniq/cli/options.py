"""The options that commands share, and commands whose help has examples."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = [
    "DEFAULT_BACKEND",
    "TOKEN",
    "TOKEN_FILE",
    "Command",
    "backend_option",
    "command",
    "json_option",
    "queue_option",
]

TOKEN = "SUPERSONIQ_TOKEN"
"""A variable, or a file, and no flag: other users of a machine can read its command lines."""
TOKEN_FILE = "supersoniq.token_file"
DEFAULT_BACKEND = "sqlite:///supersoniq.db"
"""The embedded default: a file in the working directory."""

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command whose help ends its text with examples."""

    examples: tuple[str, ...] = ()

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text, and the examples as they are typed."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def command(short_help: str, *examples: str) -> Callable[[Callable[..., None]], Command]:
    """Make a command of a function.

    Args:
        short_help: what the list of commands says.
        examples: as they are typed.
    """

    def made(function: Callable[..., None]) -> Command:
        result = click.command(cls=Command, short_help=short_help)(function)
        result.examples = examples
        return result

    return made


def backend_option(command: F) -> F:
    """Add ``--backend``, and ``--token-file``, which ``common.connected`` looks up."""
    command = click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        callback=lambda context, _, path: context.meta.update({TOKEN_FILE: path}),
        expose_value=False,
        help=f"The token for a server as the store; or in the variable {TOKEN}.",
    )(command)
    return click.option(
        "--backend",
        "-b",
        metavar="URL",
        envvar="SUPERSONIQ_BACKEND",
        show_envvar=True,
        default=configured_backend,
        show_default=f"that of supersoniq.toml, or {DEFAULT_BACKEND}",
        help="The store: sqlite:///jobs.db is a file here, sqlite:////var/jobs.db an absolute one.",
    )(command)


def configured_backend() -> str:
    """The store that the settings of a server here name, so that a command finds the same one.

    Only that line of them is read: all else is the server's (``supersoniq.cli.settings``), and
    would take the time to import what checks it.

    Raises:
        UsageError: it cannot be read.
    """
    named = os.environ.get("SUPERSONIQ_CONFIG")
    held = os.environ.get("SUPERSONIQ_BACKEND_FILE")
    path = Path(named or "supersoniq.toml")
    told: dict[str, Any] = {}
    try:
        if not held and (named or path.exists()):
            import tomllib

            told = tomllib.loads(path.read_text())
        if file := held or told.get("backend_file"):
            path = Path(str(file))
            return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{path}, for the backend, cannot be read: {error}") from None
    return str(told.get("backend", DEFAULT_BACKEND))


def queue_option(command: F) -> F:
    """Add ``--queue``."""
    return click.option(
        "--queue",
        "-q",
        metavar="NAME",
        default="default",
        show_default=True,
        help="The queue's name.",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="One JSON object a line, as when the output goes to a pipe.",
    )(command)
