"""The options that commands share, and commands whose help has examples."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from supersoniq.cli.files import DEFAULT_BACKEND, configured_backend
from supersoniq.core.errors import InvalidSetting

__all__ = [
    "TOKEN",
    "TOKEN_FILE",
    "Command",
    "backend_argument",
    "backend_option",
    "command",
    "json_option",
    "queue_option",
]

TOKEN = "SUPERSONIQ_TOKEN"
"""A variable, or a file, and no flag: other users of a machine can read its command lines."""
TOKEN_FILE = "supersoniq.token_file"
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
        default=_configured,
        show_default=f"that of supersoniq.toml, or {DEFAULT_BACKEND}",
        help="The store: sqlite:///jobs.db is a file here, sqlite:////var/jobs.db an absolute one.",
    )(command)


def backend_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``[URL]``, for those that look at a store as a whole; and what others have for it."""

    @wraps(command)
    def chosen(argument: str | None, backend: str, **given: Any) -> None:
        context = click.get_current_context()
        if argument is None:
            command(url=backend, **given)
        elif context.get_parameter_source("backend") is ParameterSource.COMMANDLINE:
            raise click.UsageError("takes the store once: as URL, or with --backend")
        else:
            command(url=argument, **given)

    return click.argument("argument", required=False, metavar="[URL]")(backend_option(chosen))


def _configured() -> str:
    try:
        return configured_backend()
    except InvalidSetting as error:
        raise click.UsageError(str(error)) from None


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
