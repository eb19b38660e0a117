"""What is imported when: help and plans come at once, and the law engine stands alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from scaling.cli import main

QUICKSTART = str(Path(__file__).parents[1] / "configs" / "quickstart.yaml")
ROOT = Path(__file__).parents[1]
BPE = ("--data.corpus", str(ROOT / "docs"), "--data.tokenizer", "bpe", "--data.bpe.vocabulary", "300",
       "--data.validation_tokens", "20000", "--engine.token_cache", "null")  # fmt: skip
HEAVY = ("jax", "flax", "optax", "orbax", "grain")


def imported(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `code`."""
    script = f"import sys\n{code}\nprint('\\nMODULES', *{{name.split('.')[0] for name in sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.rpartition("MODULES")[2].split())


def verb(*arguments: str) -> str:
    return f"import scaling.cli\ntry:\n    scaling.cli.main({list(arguments)!r})\nexcept SystemExit:\n    pass"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("plan", QUICKSTART),
        ("run", "--help"),
        ("preflight", "--help"),
        ("evaluate", "--help"),
        ("status", "."),
        ("forms",),
    ],
)
def test_verbs_that_train_nothing_import_no_jax(arguments: tuple[str, ...]) -> None:
    found = imported(verb(*arguments))
    assert "scaling" in found
    assert not found & set(HEAVY)


def test_laws_import_neither_flax_nor_jax_until_they_fit() -> None:
    assert not imported("from scaling import laws\nlaws.LawFit") & set(HEAVY)
    table = "{'params': [1e6, 2e6, 4e6, 8e6], 'tokens': [2e7, 4e7, 8e7, 16e7], 'loss': [3.0, 2.9, 2.8, 2.72]}"
    found = imported(f"from scaling import laws\nlaws.fit({table}, 'power', pin={{'E': 0.0}}, resamples=0, starts=8)")
    assert "jax" in found
    assert not found & {"flax", "optax", "orbax", "grain"}


def test_help_fits_a_screen_and_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (
        "plan",
        "preflight",
        "run",
        "status",
        "evaluate",
        "fit",
        "predict",
        "select",
        "validate",
        "compare",
        "profile",
        "forms",
        "report",
        "schema",
    ):
        with pytest.raises(SystemExit):
            main([name, "--help"])
        said = capsys.readouterr().out
        assert len(said.splitlines()) <= 40, name
        assert f"scaling {name}" in said.partition("example:")[2]
