"""How arguments are read: one parser a verb, and errors that come as one line."""

import argparse
import math
import os
import sys
from typing import Any, NoReturn

from scaling.config import Study, StudyError, explained, is_own, override, parse_study, read_study


class Parser(argparse.ArgumentParser):
    """One verb's arguments. Errors come as one line, like every other."""

    def __init__(self, verb: str, description: str, example: str, takes: str = ""):
        super().__init__(
            prog=f"scaling {verb}",
            usage=" ".join(part for part in (f"scaling {verb}", takes, "[options]") if part),
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=120),
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise StudyError(f"{message} (see {self.prog} --help)")


def study_parser(verb: str, description: str, example: str) -> Parser:
    parser = Parser(
        verb,
        f"{description}\n\nAny field of the study is an option too: --training.learning-rate 3e-3 (see --help-all).",
        example,
        takes="STUDY",
    )
    parser.add_argument("study", metavar="STUDY", help="YAML file of the study")
    parser.add_argument("--help-all", action=_HelpAll, nargs=0, help="list the study's fields")
    return parser


class _HelpAll(argparse.Action):
    """Lists every field of the study with its default and meaning."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        for option, default, meaning in explained():
            print(f"--{option}  ({default})\n    {meaning}")
        parser.exit()


def study(path: str, overrides: list[str]) -> Study:
    """The study in a file, with fields of the command line in their place."""
    raw = override(read_study(path), overrides)
    if _names_own(raw):
        stand_here()
    return parse_study(raw, source=path)


def stand_here() -> None:
    """Let modules of the user's own be found where they stand, as by `python -m`."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _names_own(value: Any) -> bool:
    """Whether some field names a part of the user's own: others' imports are left as they are."""
    if isinstance(value, dict):
        return any(_names_own(one) for one in value.values())
    return any(_names_own(one) for one in value) if isinstance(value, list) else is_own(value)


def pairs(given: list[str], option: str, example: str) -> dict[str, str]:
    """NAME=VALUE words as a mapping; StudyError where one is not a pair."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise StudyError(f"{option} has {text!r}; write NAME=VALUE, as in {option} {example}")
        if name in found:
            raise StudyError(f"{option} names {name} twice, as {found[name]} and {value}")
        found[name] = value
    return found


def numbers(given: list[str], option: str, example: str) -> dict[str, float]:
    """NAME=NUMBER words as a mapping; StudyError where one is not."""
    found = {}
    for name, text in pairs(given, option, example).items():
        try:
            value = float(text)
        except ValueError:
            raise StudyError(f"{option} {name} is {text!r}, not a number") from None
        if not math.isfinite(value):
            raise StudyError(f"{option} {name} is {text}; give a finite number")
        found[name] = value
    return found


def positive(text: str) -> float:
    """An option's value above 0, as argparse reads it."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; write one as 1e22 or 0.5") from None
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number; write one as 1e22 or 0.5")
    return value
