"""Verbs of the law engine as a user types them, in this process: what they compile is shared."""

from dataclasses import dataclass
from typing import Any

import pytest

from scaling.cli import main


@dataclass(frozen=True)
class Said:
    """What a verb printed, and its exit code."""

    code: int
    out: str
    err: str


class Terminal:
    """Runs verbs and takes what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        self._capsys = capsys

    def __call__(self, *arguments: Any) -> Said:
        with pytest.raises(SystemExit) as end:
            main([str(one) for one in arguments])
        shown = self._capsys.readouterr()
        return Said(int(str(end.value.code)), shown.out, shown.err)

    def done(self, *arguments: Any) -> str:
        """What a verb printed that must succeed."""
        said = self(*arguments)
        assert said.code == 0, said.err
        return said.out

    def refused(self, *arguments: Any) -> str:
        """The one line of a verb that must refuse what it was given."""
        said = self(*arguments)
        assert said.code == 2, said.out
        assert said.out == ""
        assert said.err.startswith("scaling: ")
        assert said.err.count("\n") == 1
        return said.err
