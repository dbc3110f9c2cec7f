"""What the documents say is so."""

from __future__ import annotations

import importlib.util
import xml.dom.minidom
from pathlib import Path
from types import ModuleType

import pytest

from supersoniq.auth import Scopes, Verb
from supersoniq.cli.settings.load import load as settings
from supersoniq.core.errors import InvalidSetting
from tests.docs.pages import blocks

DOCS = Path(__file__).parent.parent / "docs"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_state_diagram_is_the_table() -> None:
    generator = load(DOCS / "make_states.py")
    assert (DOCS / "states.md").read_text() == generator.page(), "run: python docs/make_states.py"
    assert (DOCS / "states.svg").read_text() == generator.picture()
    xml.dom.minidom.parseString(generator.picture())


def test_the_page_of_settings_is_the_model() -> None:
    generator = load(DOCS / "make_settings.py")
    assert (DOCS / "settings.md").read_text() == generator.page(), (
        "run: python docs/make_settings.py"
    )


def test_an_unknown_setting_is_refused_in_these_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("supersoniq.toml").write_text("[listen]\nprot = 8080")
    with pytest.raises(InvalidSetting) as refused:
        settings()
    [told] = blocks(DOCS / "settings.md", "text")
    assert told.text.split() == ["Error:", *str(refused.value).split()]


def test_the_scope_of_the_page_is_one() -> None:
    [told] = blocks(DOCS / "auth.md", "text")
    scopes = Scopes.parse(told.text.strip())
    assert str(scopes) == told.text.strip()
    assert scopes.allow(Verb("consume"), "mail.urgent")
    assert not scopes.allow(Verb("consume"), "orders")
