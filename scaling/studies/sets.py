"""The named held-out sets of a study: read, kept in its run directory, and measured on whatever was trained."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scaling.config import SetConfig, Study
from scaling.data import EvaluationSet, Tokens, read_set, save_set
from scaling.engines import EngineState, JobResult, engine_of
from scaling.planning import evaluation_jobs
from scaling.records import RunDirectory, SetRecord, Trajectory
from scaling.studies.job_settings import settings_of
from scaling.studies.sweep import run_jobs

PLAIN_SECONDS = 15.0
"""Between two lines of progress."""


@dataclass(frozen=True)
class Measured:
    """What was done.

    Attributes:
      results: how the jobs ended.
      missing: horizons that are not measured and have no kept model, as trajectory/horizon.
    """

    results: list[JobResult]
    missing: list[str]


def read(study: Study, tokens: Tokens, sets: Mapping[str, SetConfig], field: str) -> list[EvaluationSet]:
    """Each of `sets` in the study's tokens.

    Raises:
      StudyError: one cannot be read as told; `field` goes before its name.
    """
    return [read_set(name, one, tokens.tokenizer, tokens.train, f"{field}{name}") for name, one in sets.items()]


def keep(sets: Sequence[EvaluationSet], directory: RunDirectory) -> list[str]:
    """Write the sets into the run directory; a line for each name that stood for another content before."""
    for one in sets:
        save_set(one, directory.sets / one.record.key)
    before = directory.name_sets({one.record.name: one.record.key for one in sets})
    return [
        f"set {one.record.name} has another content than was measured before ({before[one.record.name]} then, "
        f"{one.record.key} now): tables show the new one, and what was measured on the old one stays in evaluations/"
        for one in sets
        if before.get(one.record.name, one.record.key) != one.record.key
    ]


def said(record: SetRecord) -> str:
    """A set in one line, and what of it was trained on."""
    unit = "documents" if record.kind == "text" else "questions"
    line = (
        f"set {record.name}: {record.units:,} {unit}, {record.tokens:,} tokens, fingerprint {record.fingerprint[:10]}"
    )
    found = record.in_training
    if not found:
        return line
    shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    return f"{line}; {len(found):,} of its {unit} are in the training text word for word: {shown}"


def trained(directory: RunDirectory) -> list[Trajectory]:
    """Every trajectory that did not diverge, with its committed horizons, where there are any."""
    records = [one for one in directory.trajectory_directories() if not one.diverged.exists()]
    return [found for found in (one.committed() for one in records if any(one.root.glob("horizon-*.json"))) if found]


def measure(study: Study, directory: RunDirectory, keys: Sequence[str], say: Callable[[str], None]) -> Measured:
    """Measure every kept model of the run on the sets of `keys`, as far as it was not; nothing is trained."""
    everything = trained(directory)
    missing = [
        f"{one.id}/{horizon.name}"
        for one in everything
        for horizon in one.horizons
        if not (directory.trajectory(one.id).models / horizon.name).is_dir()
        and not all(directory.trajectory(one.id).evaluation(horizon.name, key).exists() for key in keys)
    ]
    settings = settings_of(study, directory, keys)
    left = evaluation_jobs(everything, settings, directory=directory, processes=engine_of(study.engine).processes)
    if not left:
        return Measured([], missing)
    wanted = [
        directory.trajectory(one.id).evaluation(horizon.name, key)
        for job in left
        for one in job.trajectories
        for horizon in one.horizons
        for key in keys
    ]
    looked = time.monotonic()

    def tick(_: EngineState) -> None:
        nonlocal looked
        if time.monotonic() - looked > PLAIN_SECONDS:
            looked = time.monotonic()
            say(f"evaluated {sum(path.exists() for path in wanted)} of {len(wanted)}")

    return Measured(run_jobs(study, directory, left, tick), missing)
