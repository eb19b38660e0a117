"""The page of each form: its example runs as it stands there."""

import re
from pathlib import Path

import pytest

from scaling.laws.forms import FORMS, form_named

PAGES = sorted((Path(__file__).parents[2] / "docs" / "laws").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_example_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks, f"{page} has no example"
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})


def test_every_form_has_a_page() -> None:
    form_named("chinchilla")
    assert not set(FORMS) - {page.stem for page in PAGES}
