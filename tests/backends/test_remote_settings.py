"""URLs, options and extras that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

import supersoniq
from supersoniq.core.errors import InvalidSetting


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://", {}),
        ("http:///path", {}),
        ("http://host:99999", {}),
        ("http://user:word@host", {}),
        ("http://host/?q=1", {}),
        ("http://host/#f", {}),
        ("http://host/a b", {}),
        ("http://host/\r\nx: y", {}),
        ("http://h\N{SNOWMAN}.." + "x" * 70, {}),
        ("http://host", {"patience": -1}),
        ("http://host", {"patience": float("nan")}),
        ("http://host", {"patience": True}),
        ("http://host", {"timeout": 0}),
        ("http://host", {"timeout": "1"}),
        ("http://host", {"connect_timeout": float("inf")}),
        ("http://host", {"ca": "file.pem"}),
        ("https://host", {"ca": "/no/such/file.pem"}),
        ("https://host", {"ca": 7}),
        ("http://host", {"nonsense": 1}),
        ("http://host", {"http": 2}),
        ("http://host", {"http": "4"}),
        ("http://host", {"http": "3"}),
        ("ws://", {}),
        ("ws://host/?q=1", {}),
        ("ws://host", {"http": "2"}),
        ("ws://host", {"ca": "file.pem"}),
        ("ws://host", {"timeout": -1}),
        ("wss://host", {"ca": "/no/such/file.pem"}),
    ],
)
def test_settings_that_cannot_be(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        supersoniq.connect(url, **options)


def test_the_extra_is_asked_for() -> None:
    import subprocess
    import sys

    program = (
        "import sys; sys.modules['httptools'] = None\n"
        "import supersoniq\n"
        "try: supersoniq.connect('https://host')\n"
        "except supersoniq.MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'supersoniq[client]'" in done.stdout, done.stderr
