"""`scaling preflight`, and what `scaling run` does with it before it trains."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling.config import Own, StudyError, TargetConfig, load_study
from scaling.data import prepare
from scaling.planning import plan
from scaling.records import Compiled, Job, JobSettings, Refused, RunDirectory, Trajectory, pretty_json, replace
from scaling.studies.compiled import _key, _report_file
from scaling.studies.examined import Cell, Examined, as_json
from scaling.studies.job_settings import settings_of
from scaling.studies.show_compiled import notes, said
from scaling.studies.sweep import resources_for
from tests.studies.conftest import Scaling

Tiny = Callable[..., Path]
FOUND: dict[str, Any] = {
    "key": "k", "where": "here", "device": "cpu", "devices": 1, "state_bytes": 1000, "kept_bytes": 1000,
    "batch_bytes": 50, "temporary_bytes": 300, "evaluation_bytes": 200, "process_bytes": 10, "limit_bytes": None,
    "flops_per_step": 1e6, "compiled_flops_per_step": 1.1e6, "compile_seconds": 1.0, "cached": True,
    "seconds_per_step": 0.5,
}  # fmt: skip


def a_report(**changes: Any) -> Compiled:
    return Compiled(**(FOUND | changes))


@pytest.fixture
def planned(tiny: Tiny) -> Callable[..., tuple[Any, tuple[Trajectory, ...]]]:
    def make(**changes: Any) -> tuple[Any, tuple[Trajectory, ...]]:
        study = load_study(tiny(**changes))
        return study, plan(study, prepare(study.data, study.seed).record).trajectories

    return make


def test_memory_is_the_state_twice_and_the_larger_of_step_and_evaluation() -> None:
    assert a_report().memory_bytes == 1000 + 1000 + (50 + 300) + 10
    assert a_report(evaluation_bytes=400).memory_bytes == 1000 + 1000 + 400 + 10


def test_every_cell_that_cannot_fit_is_named_with_its_remedy(planned: Callable[..., Any]) -> None:
    study, (small, *_, large) = planned()
    examined = Examined(
        study,
        (
            Cell((small,), a_report(), 2000, 1.0, True),
            Cell((large,), a_report(), 4000, 1.0, True),
            Cell((large,), Refused(key="k", device="TPU v5 lite", refused="Used 20G of 16G hbm"), 0, None, False),
            Cell((large.model_copy(update={"role": "check"}),), a_report(limit_bytes=9), 9, 1.0, True),
        ),
        0,
        0.0,
    )
    with pytest.raises(StudyError) as error:
        examined.refuse()
    said = str(error.value)
    first, refused, of_check = re.split(r"(?:the check's )?width (?=\d)", said)[1:]
    for words in ("8 (1 layers", "needs 0.0024 MB on each cpu", "0.002 MB are there, 1/2 of what is free",
                  "engine.processes below 2", "8 left out of sweep.widths"):  # fmt: skip
        assert words in first
    assert "Used 20G of 16G hbm" in refused
    assert "check.budget_multiple" in of_check
    assert "engine.processes" not in of_check, "a device's own memory is not shared out"
    assert said.endswith("nothing was trained")
    Examined(study, examined.cells[1:2], 0, 0.0).refuse()


def test_a_model_fits_beyond_doubt_by_those_that_were_compiled(planned: Callable[..., Any]) -> None:
    """Four times what parameters times batch give, and the process once."""
    study, (small, *_, large) = planned()
    grown = large.params_with_embeddings / small.params_with_embeddings
    needed = 4 * grown * 2350 + 10

    def holds(one: Trajectory, limit: float) -> bool:
        return Examined(study, (Cell((small,), a_report(), int(limit), 1.0, True),), 0, 0.0).surely_holds(one)

    assert not holds(large, needed - 1)
    assert holds(large, needed + 1)
    twice = large.recipe.model_copy(update={"sequences": 2 * large.recipe.sequences})
    assert not holds(large.model_copy(update={"recipe": twice}), needed + 1)
    assert not Examined(study, (), 0, 0.0).surely_holds(small)


def test_expected_time_is_that_of_the_last_process(planned: Callable[..., Any]) -> None:
    study, trajectories = planned()
    cells = tuple(Cell((one,), a_report(), 4000, 10.0, True) for one in trajectories[:3])
    assert Examined(study, cells, 0, 0.0).expected_seconds == 20, "three of 10 s on two processes"
    unknown = (*cells, Cell((trajectories[3],), a_report(), 4000, None, False))
    assert Examined(study, unknown, 0, 0.0).expected_seconds is None


def test_a_program_is_known_by_what_changes_it(planned: Callable[..., Any], tmp_path: Path) -> None:
    study, (one, *_) = planned()
    settings = settings_of(study, RunDirectory(tmp_path))

    def key(settings: JobSettings = settings, **recipe: Any) -> str:
        return _key(settings, {}, one.model_copy(update={"recipe": one.recipe.model_copy(update=recipe)}))

    assert key() == key(seed=7, learning_rate=0.1, weight_decay=0.0, warmup_tokens=3)
    others = [
        key(sequences=8),
        key(optimizer="lion"),
        key(schedule=Own(name="mine:rate", source="0" * 64)),
        key(schedule=Own(name="mine:rate", source="1" * 64)),
        key(settings.model_copy(update={"steps_per_dispatch": 3})),
        key(settings.model_copy(update={"compilation_cache": None})),
    ]
    assert len({key(), *others}) == 7
    assert key() == key(schedule="constant"), "its formula is a number of the program"


def test_run_refuses_what_cannot_fit_before_anything_is_spent(tiny: Tiny, scaling: Scaling, tmp_path: Path) -> None:
    """Batches of eight million tokens: their activations alone are more than this machine has free."""
    study = tiny(
        data={"corpus": "stdlib"},
        family={"layers": 3},
        training={"batch_tokens": 2**23, "warmup_tokens": 0, "steps_per_dispatch": 1, "minimum_steps": 10},
        sweep={"budgets": [4e13, 8e13], "widths": [8, 16], "sizes_per_budget": 2, "replicate_widths": []},
        check={"enabled": False},
        engine={"processes": 2, "compilation_cache": None},
    )
    answer = scaling("run", study, "--out", tmp_path / "run")
    assert answer.returncode == 2, answer.stdout + answer.stderr
    for words in ("width 8 (3 layers", "width 16 (3 layers", "training.batch_tokens", "nothing was trained"):
        assert words in answer.stderr
    assert not (tmp_path / "run" / "trajectories").exists()
    again = scaling("preflight", study, "--out", tmp_path / "run", "--json")
    assert again.returncode == 2
    told = json.loads(again.stdout)
    assert [cell["fits"] for cell in told["cells"]] == [False, False]
    assert told["cells"][0]["program"]["seconds_per_step"] is None, "what does not fit is not tried"


def test_a_finished_run_keeps_what_each_program_takes(finished: Path, tiny_shared: Tiny, scaling: Scaling) -> None:
    said_then = (finished.parent / "said.txt").read_text()
    assert "compiled ahead: 3 programs" in said_then
    reports = sorted((finished / "compiled").iterdir())
    assert len(reports) == 3, "the check was small beyond doubt"
    assert {path.suffix for path in reports} == {".json"}, "requests and logs are gone"
    assert not [path for path in reports if path.name.startswith("request")]
    before = {path: path.stat().st_mtime_ns for path in reports}
    answer = scaling("preflight", tiny_shared(), "--out", finished)
    assert answer.returncode == 0, answer.stderr
    for words in ("w8-l1", "w24-l1", "yes", "compiled for this machine", "measured seconds a step"):
        assert words in answer.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a second call asks nobody"


def test_what_is_said_names_the_fullest_cell(planned: Callable[..., Any]) -> None:
    study, (small, *_, large) = planned(engine={"compilation_cache": None})
    cells = (
        Cell((small,), a_report(cached=False), 10**9, 3.0, True),
        Cell((large,), a_report(state_bytes=10**8, cached=False), 10**9, 4.0, True),
    )
    examined = Examined(study, cells, 2, 5.0)
    assert said(examined) == (
        "compiled ahead: 2 programs, 2 of them now, in 5 s; w24-l1 takes most, 0.1 GB of 1 GB; without "
        "engine.compilation_cache the jobs compile them again"
    )
    assert any("compile their programs again" in line for line in notes(examined))
    assert as_json(examined)["cells"][1]["memory_bytes"] == 10**8 + 1000 + 350 + 10


@pytest.mark.full
def test_a_mesh_for_other_devices_is_refused_with_what_is_here(tiny: Tiny, scaling: Scaling, tmp_path: Path) -> None:
    answer = scaling("run", tiny(), "--out", tmp_path / "run", "--engine.mesh.data", 64)
    assert answer.returncode == 2
    assert "engine.mesh is population 1 x data 64" in answer.stderr
    assert "it alone" not in answer.stderr
    assert not (tmp_path / "run" / "trajectories").exists()
    again = scaling("run", tiny(training={"weight_decay": 0.2}), "--out", tmp_path / "run", "--engine.mesh.data", 64)
    assert "engine.mesh is population 1 x data 64" in again.stderr, "nothing was trained: the study may be mended"


def test_a_job_asks_for_the_memory_that_compiling_ahead_found(planned: Callable[..., Any], tmp_path: Path) -> None:
    study, trajectories = planned()
    directory = RunDirectory(tmp_path)
    settings = settings_of(study, directory).model_copy(update={"compilation_cache": None})
    study = study.model_copy(update={"engine": study.engine.model_copy(update={"compilation_cache": None})})
    here = {"key": _key(settings, TargetConfig().model_dump(mode="json"), trajectories[0])}
    replace(_report_file(directory, here["key"]), pretty_json(a_report(**here).model_dump(mode="json")))
    jobs = [Job(name=one.id, settings=settings, trajectories=(one,)) for one in (trajectories[0], trajectories[-1])]
    resources_of = resources_for(study, directory)
    assert [resources_of(job).memory_bytes for job in jobs] == [a_report().memory_bytes, None]
