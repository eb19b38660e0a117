"""What every script that a person starts does."""

import os
import re
import shutil

import pytest

from tests.launch.conftest import LAUNCH, bash

SCRIPTS = sorted([*LAUNCH.glob("*/*.sh"), *LAUNCH.glob("*/*.sbatch")])
STARTED = [script for script in SCRIPTS if script.name != "setup.sh"]


@pytest.mark.parametrize("script", STARTED, ids=lambda script: f"{script.parent.name}/{script.name}")
def test_without_arguments_a_script_says_how_it_is_used(script, programs):
    ended = programs.run(f"{script.parent.name}/{script.name}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("script", STARTED, ids=lambda script: f"{script.parent.name}/{script.name}")
def test_scripts_stop_at_the_first_error_and_evaluate_nothing(script):
    text = script.read_text()
    assert "\nset -euo pipefail\n" in text
    assert not re.search(r"\beval\b", text)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    found = bash(["shellcheck", "--external-sources", *map(str, SCRIPTS)], dict(os.environ), LAUNCH.parent)
    assert (found.stdout, found.returncode) == ("", 0)
