"""No pickle, no eval, no shell strings; names cannot leave the output folder; secrets are written nowhere."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import scaling
from scaling.config import StudyError, parse_study
from tests.studies.conftest import SECRET

PACKAGE = Path(scaling.__file__).parent
FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {
    "eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "yaml.unsafe_load", "yaml.full_load",
}  # fmt: skip


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def findings(tree: ast.AST) -> Iterator[str]:
    """What of it could run text as code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            told = {word.arg: word.value for word in node.keywords}
            if name in FORBIDDEN_CALLS:
                yield name
            for option in ("shell", "allow_pickle"):
                if option in told and not (isinstance(told[option], ast.Constant) and told[option].value is False):
                    yield f"{name}({option}=...)"
            if name == "yaml.load" and dotted(told.get("Loader", ast.Name("none"))) != "_Loader":
                yield "yaml.load without the safe loader"


def test_the_search_finds_what_it_looks_for() -> None:
    text = "import pickle\nfrom dill import loads\neval('1')\nsubprocess.run('ls', shell=True)\nos.system('x')\n"
    text += "np.load(p, allow_pickle=True)\nyaml.load(text)\nyaml.load(text, Loader=_Loader)\n"
    assert sorted(findings(ast.parse(text))) == [
        "dill", "eval", "np.load(allow_pickle=...)", "os.system", "pickle", "subprocess.run(shell=...)",
        "yaml.load without the safe loader",
    ]  # fmt: skip


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_runs_text_as_code(path: Path) -> None:
    assert list(findings(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/b", "..", ".hidden", "a\nb", "a b", ""])
@pytest.mark.parametrize(
    "place",
    [
        lambda name: {"name": name},
        lambda name: {"name": "x", "evaluation": {"sets": {name: {"path": "texts"}}}},
        lambda name: {"name": "x", "data": {"mixture": {name: {"corpus": "stdlib"}}}},
        lambda name: {"name": "x", "arms": {name: {}, "b": {"training.learning_rate": 1e-2}}},
    ],
    ids=["study", "set", "domain", "arm"],
)
def test_names_cannot_leave_the_output_folder(place: Callable[[str], dict[str, Any]], name: str) -> None:
    with pytest.raises(StudyError):
        parse_study(place(name))


def test_a_secret_of_the_environment_is_written_nowhere(finished: Path) -> None:
    """Jobs get it, as they get all of the environment; no plan, record, log or report has it."""
    files = [path for path in finished.parent.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in files)
    assert finished.with_name("said.txt") in files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
