"""Names of a researcher's own parts, and the hash of their source: what it follows and what it does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.config import Own, Study, StudyError, dump_study, parse_study, parse_yaml
from scaling.config.sources import source_hash, sources
from scaling.records import DataRecord
from tests import own
from tests.conftest import trajectory_of

FILES = {
    "mine/__init__.py": "",
    "mine/blocks.py": "import numpy\nfrom . import norms\nfrom mine.deep import layer\n\ndef block(): pass\n",
    "mine/norms.py": "def norm():\n    from mine import later\n",
    "mine/later.py": "import helper\nimport scaling\n",
    "mine/deep/__init__.py": "from ..common import shared\n",
    "mine/deep/layer.py": "",
    "mine/common.py": "shared = 1\n",
    "mine/unused.py": "",
    "helper.py": "x = 1\n",
    "stranger.py": "",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_source_is_what_the_module_imports_of_ones_own(folder: Path) -> None:
    found = sources("mine.blocks")
    assert set(found) == {
        "mine", "mine.blocks", "mine.norms", "mine.later", "mine.deep", "mine.deep.layer", "mine.common", "helper",
    }  # fmt: skip
    assert found["mine.deep.layer"] == folder / "mine" / "deep" / "layer.py"


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_hash_changes_with_each_file_of_the_source_and_no_other(folder: Path, name: str) -> None:
    before = source_hash("mine.blocks")
    (folder / name).write_text(FILES[name] + "# changed\n")
    assert (source_hash("mine.blocks") != before) == (name not in ("mine/unused.py", "stranger.py"))


def test_a_package_that_is_installed_has_no_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "parts.py").write_text("import other\n")
    (installed / "other.py").write_text("")
    monkeypatch.syspath_prepend(installed)
    assert set(sources("parts")) == {"parts"}


def study(**changes: dict[str, Any]) -> Study:
    return parse_study({"name": "own"} | changes)


def test_a_recorded_study_reads_back_without_its_source(tmp_path: Path) -> None:
    with own.module(tmp_path, "reads_back") as name:
        asked = study(
            family={"block": f"{name}:Bottleneck"},
            training={"optimizer": f"{name}:sgd", "schedule": f"{name}:triangle"},
            data={"corpus": f"{name}:corpus"},
            evaluation={"metrics": [f"{name}:mean"]},
        )
        text = dump_study(asked)
        assert len(asked.own) == 5
        assert {part.source for part in asked.own.values()} == {source_hash(name)}
    assert parse_study(parse_yaml(text, "text")) == asked


def test_a_path_with_a_colon_is_a_path() -> None:
    assert study(data={"corpus": "./a:b"}).data.corpus == "./a:b"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": {"block": "wrong_nams:Block"}}, r"family.block is 'wrong_nams:Block': there is no module "
         "'wrong_nams' .*; did you mean 'wrong_names'"),
        ({"family": {"model": "wrong_names:Bottlneck"}}, "family.model is .* 'wrong_names' has no 'Bottlneck'; "
         "did you mean 'Bottleneck'"),
        ({"training": {"optimizer": "wrong_names.inner:x"}}, "training.optimizer is .* no module 'wrong_names.inner'"),
        ({"training": {"optimizer": "adamv"}}, "training.optimizer is 'adamv', not an optimizer.*did you mean 'adamw'"),
        ({"training": {"schedule": "cosin"}}, "training.schedule is 'cosin', not a schedule.*did you mean 'cosine'"),
        ({"evaluation": {"metrics": ["wrong_names:men"]}}, "evaluation.metrics.0 is .*did you mean 'mean'"),
        ({"family": {"block": "raises:Block"}}, "family.block is .* cannot be imported: NameError: name 'oops' is not"),
        ({"family": {"block": "leaves:Block"}}, "family.block is .* cannot be imported: SystemExit: 0"),
        ({"evaluation": {"metrics": ["broken_module:x"]}}, "module 'broken_module' cannot be imported: No module named "
         "'does_not_exist'"),
        ({"family": {"block": "Block"}}, "family.block is 'Block'; write module:attribute"),
        ({"family": {"block": "wrong_names:same_block", "model": "wrong_names:same_model"}},
         "family.block is 'wrong_names:same_block', but model is"),
        ({"evaluation": {"metrics": ["wrong_names:mean", "broken_later:mean"]}}, "would be one column metric_mean"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_refused_with_its_field_and_the_nearest(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    (tmp_path / "broken_module.py").write_text("import does_not_exist\n")
    (tmp_path / "raises.py").write_text("oops\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "broken_later.py").write_text("mean = len\n")
    with own.module(tmp_path, "wrong_names"), pytest.raises(StudyError, match=words):
        study(**changes)


Change = Callable[[Own], dict[str, Any]]


def test_identities_without_own_parts_are_what_they_were_and_each_part_makes_another(tmp_path: Path) -> None:
    class Tokens:
        record = DataRecord(fingerprint="0" * 64, tokenizer="bytes", train_tokens=1000, validation_tokens=100)

    plain = trajectory_of(Tokens, 30)  # type: ignore[arg-type]
    assert plain.id == "w16-l1-s0-30ace5b0a5", "as it was before anybody could name a part of their own"
    with own.module(tmp_path, "identities") as name:
        parts = [Own(name=f"{name}:same_block", source=source * 64) for source in "ab"]
    changes: list[Change] = [
        lambda part: {"model": plain.model.model_copy(update={"block": part})},
        lambda part: {"model": plain.model.model_copy(update={"model": part})},
        lambda part: {"recipe": plain.recipe.model_copy(update={"optimizer": part})},
        lambda part: {"recipe": plain.recipe.model_copy(update={"schedule": part})},
        lambda part: {"data": plain.data.model_copy(update={"corpus": part})},
        lambda part: {"metrics": (part,)},
    ]
    changed = [plain.model_copy(update=change(part)) for change in changes for part in parts]
    assert len({one.id for one in [plain, *changed]}) == 1 + 2 * len(changes)
    assert len({one.shape for one in [plain, *changed]}) == 1 + 2 * 4, "text and metrics are no part of the program"
