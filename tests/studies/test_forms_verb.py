"""`scaling forms`: every form that can be fitted is listed and shown from its own data."""

import json
from pathlib import Path

import pytest

from scaling.laws.forms import FORMS, form_named
from tests.studies.terminal import Terminal

form_named("chinchilla")


def test_the_list_has_every_form(terminal: Terminal) -> None:
    shown = terminal.done("forms")
    names = [line.split()[0] for line in shown.splitlines() if line and not line.startswith(" ")]
    assert set(FORMS) <= set(names)
    assert "L = E + A / N^alpha + B / D^beta" in shown
    assert "Hoffmann et al. 2022, approach 3" in shown
    listed = {one["form"]: one for one in json.loads(terminal.done("forms", "--json"))}
    assert set(listed) == set(FORMS)
    assert listed["data_constrained"]["inputs"] == ["params", "tokens", "unique_tokens"]
    for one in listed.values():
        assert one["equation"]
        assert one["source"]
        assert one["columns"]
    assert not [name for name, one in listed.items() if one["meaning"].startswith((",", ":", "(", one["equation"]))]


@pytest.mark.parametrize("name", sorted(FORMS))
def test_each_form_can_be_shown(terminal: Terminal, name: str) -> None:
    said = json.loads(terminal.done("forms", name, "--json"))
    law = form_named(name, {"domains": said["examples"]["domains"]} if said["examples"] else {})
    assert said["equation"] == law.text
    assert [one["name"] for one in said["parameters"]] == list(law.names)
    assert said["columns"] == list(law.columns)
    shown = " ".join(terminal.done("forms", name).split())
    for wanted in (*law.names, *said["options"], law.source, f"scaling fit runs.csv --form {name}"):
        assert wanted in shown


def test_a_form_under_options(terminal: Terminal) -> None:
    shown = terminal.done("forms", "mixture", "--options", "domains=web,code,books")
    assert "t_web web + t_code code" in shown
    assert "--form mixture --options domains=web,code,books" in shown


def test_a_form_of_one_s_own_is_found_where_one_stands(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "from scaling.laws.forms import form_named\nfrom dataclasses import replace\n"
    (tmp_path / "own_laws_here.py").write_text(module + "mine = replace(form_named('kaplan'), source='my own')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    assert "my own" in terminal.done("forms", "own_laws_here:mine")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["chinchila"], "did you mean 'chinchilla'?"),
        (["power", "--options", "y=flops"], "form power has no option 'y'; its options are x"),
        (["--options", "x=flops"], "--options needs NAME"),
        (["nowhere:law"], "module 'nowhere' cannot be imported"),
    ],
)
def test_wrong_forms(terminal: Terminal, words: list[str], wanted: str) -> None:
    assert wanted in terminal.refused("forms", *words)
