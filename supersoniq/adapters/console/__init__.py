"""The console: a web page that shows the queues, and mends them. It holds nothing but files.

    pages     gives the files
    static/   the page: plain HTML, CSS and ES modules, which a browser takes as they are
    static/client/
              the TypeScript client as JavaScript; ``make console`` makes it of
              clients/typescript, and a test sees to it that it is what those sources give

The page is open to everybody: there is nothing of any queue in it. It calls the same routes and the
same WebSocket as any other client does, with the token of whoever sits before it, and can do no
more than that token.
"""

from __future__ import annotations

from supersoniq.adapters.console.pages import moved, page, part

__all__ = ["moved", "page", "part"]
