"""From a cell to a number, or an error that names the row, the column and what to write instead."""

import datetime
import math
import re
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np

from scaling.laws.errors import LawError
from scaling.laws.forms import Floats

NOTHING = {"", "-", "--", "–", "—", "?", "na", "n/a", "n.a.", "#n/a", "none", "null", "nil", "missing", "tbd", "<na>"}
LETTERS = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
WORDS = {"thousand": 1e3, "million": 1e6, "mio": 1e6, "mn": 1e6, "billion": 1e9, "trillion": 1e12, "tn": 1e12}
COUNTED = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*"
    rf"(?P<unit>{'|'.join(sorted({*WORDS, *LETTERS}, key=len, reverse=True))})?"
    r"[\s_-]*(?:params?|parameters?|tokens?|tok|flops?|nats?|bits?)?",
    re.IGNORECASE,
)
POWER = re.compile(r"(?:(?P<times>[+-]?\d+\.?\d*)\s*[x×·*]\s*)?(?P<base>\d+)\s*(?:\^|\*\*)\s*(?P<power>[+-]?\d+)")
GROUPED = re.compile(r"[+-]?\d{1,3}(?:[,\s'’]\d{3})+(?:\.\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:e[+-]?\d+)?", re.IGNORECASE)
WITH_ERROR = re.compile(r"(?P<number>[+-]?\d+\.?\d*)\s*(?:±|\+/-|\+-|\()\s*[\d.]+\)?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?")
MINUS = str.maketrans({"−": "-", "‑": "-", "–": "-"})
LEAST, MOST = 1e-100, 1e100
"""Numbers beyond them are none that was measured."""
LARGEST_POWER = 99


def numbers(given: nw.DataFrame[Any], column: str, rows: Sequence[int], signed: bool, truth: bool = False) -> Floats:
    """The cells of a column, above 0 unless `signed`; True and False count as 1 and 0 where `truth`."""
    values = given[column].to_list()
    found = np.empty(len(rows))
    for place, row in enumerate(rows):
        where = f"row {row + 1}, column {column!r}"
        number = _number(values[row], where, truth)
        if not math.isfinite(number):
            raise LawError(f"{where} is {number}; fill it or leave the row out")
        if number != 0 and not LEAST < abs(number) < MOST:
            raise LawError(f"{where} is {number:g}, beyond any unit; correct it or leave the row out")
        if number <= 0 and not signed:
            raise LawError(f"{where} is {number:g}; it must be above 0: correct it or leave the row out")
        found[place] = number
    return found


def _number(value: Any, where: str, truth: bool) -> float:
    if value is None or str(value).strip().lower() in NOTHING:
        shown = "" if value is None or str(value) == "" else f"{value!r}, "
        raise LawError(f"{where} is {shown}empty; fill it or leave the row out")
    if isinstance(value, bool | np.bool_) and not truth:
        raise LawError(f"{where} is {value}, a truth value, not a number; is this the right column?")
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        raise LawError(f"{where} is a date or time, {value}, not a number; is this the right column?")
    try:
        return float(value)
    except OverflowError as error:
        raise LawError(f"{where} is above 1.8e308, too large for a number") from error
    except (TypeError, ValueError) as error:
        hint = instead(value) if isinstance(value, str) else ""
        raise LawError(f"{where} is {value!r}, not a number{hint}") from error


def instead(text: str) -> str:
    """'; write 7e9' for '7B', and so on; nothing where it is anyone's guess."""
    text = text.strip().strip("'\"").translate(MINUS).lstrip("~≈$€£ ").strip()
    if GROUPED.fullmatch(text):
        plain = re.sub(r"[,\s'’]", "", text)
        one_comma = re.fullmatch(r"[+-]?\d{1,3},\d{3}", text)
        return f"; write {plain}" + (
            f", or {text.replace(',', '.')} if the comma is a decimal point" if one_comma else ""
        )
    if DECIMAL_COMMA.fullmatch(text):
        return f"; write {text.replace(',', '.')}"
    if text.endswith("%") and _plain(text[:-1]):
        return f"; write {written(float(text[:-1]) / 100)}"
    if found := POWER.fullmatch(text):
        if abs(int(found["power"])) <= LARGEST_POWER and int(found["base"]) in (2, 10):
            return f"; write {written(float(found['times'] or 1) * float(found['base']) ** int(found['power']))}"
    elif found := COUNTED.fullmatch(text):
        unit = (found["unit"] or "").lower()
        return f"; write {written(float(found['number']) * (WORDS | LETTERS).get(unit, 1.0))}"
    elif found := WITH_ERROR.fullmatch(text):
        return f"; write {found['number']}, and its error in a column of its own"
    elif DATE.fullmatch(text):
        return " but a date; is this the right column?"
    return ""


def _plain(text: str) -> bool:
    return re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)\s*", text) is not None


def written(value: float) -> str:
    """As people write it: 7e9, 0.75, 1.2e21."""
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.12e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.12g}"
