"""The blocks of data: TOML is taken by what reads it, JSON and YAML are what they say they are.

What JSON and YAML mean is tested with what they are about: ``test_http_docs.py`` and
``test_ws_docs.py`` of ``tests/adapters``, ``test_metrics_docs.py`` and ``test_logs_docs.py`` of
``tests/observe``.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from supersoniq.cli.settings.load import load
from tests.docs.pages import ROOT, blocks, name, pages_with

GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]


@pytest.mark.parametrize("page", pages_with("toml"), ids=name)
def test_the_settings_are_settings(page: Path, tmp_path: Path) -> None:
    """All of them: an unknown name is refused, and so is a value that cannot be."""
    for block in blocks(page, "toml"):
        given = tomllib.loads(block.text)
        if "project" in given:  # somebody's pyproject.toml
            assert set(given) == {"project"}
            assert set(given["project"]) == {"entry-points"}
            assert set(given["project"]["entry-points"]) <= set(GROUPS)
        else:
            file = tmp_path / "supersoniq.toml"
            file.write_text(block.text)
            assert load(file=str(file)).places


@pytest.mark.parametrize("page", pages_with("json"), ids=name)
def test_json_is_json(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block.text)


@pytest.mark.parametrize("page", pages_with("yaml"), ids=name)
def test_yaml_is_yaml(page: Path) -> None:
    for block in blocks(page, "yaml"):
        assert isinstance(yaml.safe_load(block.text), dict)
