"""The verb `evaluate`: finished models on a new set. Its room is imported inside."""

from pathlib import Path

from scaling.cli.parsing import Parser, pairs, stand_here
from scaling.config import is_own, parse_study

FIELDS = ("text_field", "prompt_field", "choices_field", "answer_field", "kind", "normalize")


def evaluate(arguments: list[str]) -> int:
    parser = Parser(
        "evaluate",
        "Measure the models of a run, of every horizon that is done, on held-out sets, without training again.\n"
        "A set is text, or JSON lines of questions: prompt, choices, and answer, the index or the text of one.\n\n"
        "Fields of the study's engine are options too, for another machine than trained it: --engine.mesh.data 1",
        "scaling evaluate runs/quickstart --set news=news.jsonl --text-field body",
        takes="DIR",
    )
    parser.add_argument("directory", metavar="DIR", help="run directory")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=PATH",
        help="a file, folder or glob; columns are then NAME.loss, ... (default: the sets that the study names)",
    )
    parser.add_argument("--text-field", metavar="FIELD", help="of JSON lines of text: holds a document's text")
    parser.add_argument("--prompt-field", metavar="FIELD", help="of questions: the text before a choice (prompt)")
    parser.add_argument("--choices-field", metavar="FIELD", help="of questions: the list of choices (choices)")
    parser.add_argument("--answer-field", metavar="FIELD", help="of questions: the right one (answer)")
    parser.add_argument("--kind", metavar="KIND", help="text, choices, or auto (default): by the first record's fields")
    parser.add_argument("--normalize", metavar="HOW", help="compare choices by likelihood per byte: bytes; or none")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given, rest = parser.parse_known_args(arguments)
    other = [word for word in rest if word.startswith("--") and not word.startswith("--engine.")]
    if other or (rest and not rest[0].startswith("--")):
        parser.error(f"{(other or rest)[0]} is no option of evaluate")
    details = {name: getattr(given, name) for name in FIELDS if getattr(given, name) is not None}
    named = pairs(given.set, "--set", "news=news/")
    if details and not named:
        parser.error(f"--{next(iter(details)).replace('_', '-')} tells how to read a set: give --set NAME=PATH too")
    if any(is_own(path) for path in named.values()):
        stand_here()
    raw = {"name": "sets", "evaluation": {"sets": {name: {"path": path, **details} for name, path in named.items()}}}
    asked = parse_study(raw, source="--set").evaluation.sets
    from scaling.studies import evaluating

    return evaluating.evaluate(Path(given.directory), asked, rest, as_json=given.json)
