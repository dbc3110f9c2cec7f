"""The options that commands share, and commands whose help has examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["DEFAULT_BACKEND", "Command", "backend_option", "command", "json_option", "queue_option"]

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
    """Add ``--backend``."""
    return click.option(
        "--backend",
        "-b",
        metavar="URL",
        envvar="SUPERSONIQ_BACKEND",
        show_envvar=True,
        default=DEFAULT_BACKEND,
        show_default=True,
        help="The store: sqlite:///jobs.db is a file here, sqlite:////var/jobs.db an absolute one.",
    )(command)


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
