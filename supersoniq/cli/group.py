"""The ``supersoniq`` command itself: what it says of itself, and its subcommands in their order."""

from __future__ import annotations

import logging

import click

import supersoniq
from supersoniq.cli import (
    bench,
    config,
    consume,
    demo,
    health,
    look,
    manage,
    move,
    publish,
    serve,
    stats,
    token,
    top,
)

__all__ = ["group"]


class Ordered(click.Group):
    """Lists commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as added."""
        return list(self.commands)


@click.group(
    cls=Ordered,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: supersoniq demo. Help on a command: supersoniq COMMAND --help.",
)
@click.version_option(supersoniq.__version__, prog_name="supersoniq")
def group() -> None:
    """A message queue in one file, behind a command.

    A message is published, leased to one consumer at a time, and acknowledged when its work is
    done. What is not acknowledged comes back; what keeps failing ends as dead, with its reason.

    Queues live in a store, named by its URL: --backend, or SUPERSONIQ_BACKEND, or the file
    supersoniq.db in this directory. Output is for people on a terminal, and one JSON object a
    line when it goes to a pipe or a file.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)


for each in (
    demo.demo,
    serve.serve,
    config.config,
    health.health,
    publish.publish,
    consume.consume,
    look.browse,
    look.explain,
    stats.stats,
    top.top,
    stats.queues,
    look.watch,
    manage.cancel,
    manage.redrive,
    manage.purge,
    manage.pause,
    manage.resume,
    move.move,
    token.token,
    bench.bench,
):
    group.add_command(each)
