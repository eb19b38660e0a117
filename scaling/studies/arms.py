"""Arms of a study: each a run directory of its own under arms/, and what comparing them says.

study.yaml               the study, with its arms
arms/<arm>/              the run directory of one arm
comparisons/<arm>.json   that arm against the first
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from scaling.config import Study, StudyError, arm_studies, dump_study, load_study
from scaling.engines import EXIT_DISK_FULL
from scaling.records import RunDirectory, replace
from scaling.studies import judging, preflight, terminal
from scaling.studies import run as runs
from scaling.studies.sweep import DONE


def run(study: Study, root: Path) -> int:
    """Run each arm of `study` under `root`, then compare each with the first; the worst exit code of any.

    Raises:
      StudyError: an arm cannot work, found before anything of any is trained.
    """
    prepare(study, root)
    codes = []
    for arm, own, folder in each(study, root):
        terminal.heading(f"arm {arm}")
        codes.append(runs.run(own, folder))
        if codes[-1] == EXIT_DISK_FULL:
            break
    code = max(codes)
    if code == DONE:
        compare(root)
    return code


def prepare(study: Study, root: Path) -> None:
    """Check all arms, and write down the study that they are of."""
    preflight.check_directory(study, root)
    for _, own, folder in each(study, root):
        preflight.check_directory(own, folder)
    root.mkdir(parents=True, exist_ok=True)
    replace(RunDirectory(root).study, dump_study(study).encode())


def each(study: Study, root: Path) -> Iterator[tuple[str, Study, Path]]:
    """(arm, its study, its run directory)."""
    for arm, own in arm_studies(study).items():
        yield arm, own, root / "arms" / arm


def of_directory(root: Path) -> Study | None:
    """The study of a directory of arms; None where `root` is none."""
    path = RunDirectory(root).study
    if not path.is_file() or not (root / "arms").is_dir():
        return None
    study = load_study(path)
    return study if study.arms else None


def compare(root: Path, at: float | None = None) -> None:
    """Print each arm against the first, at `at` FLOPs or at the check's budget, and keep what was found.

    Raises:
      StudyError: `root` has no arms, or one of them is not finished.
    """
    study = of_directory(root)
    if study is None:
        raise StudyError(f"{root} is no run of a study with arms; give two tables or run directories, A and B")
    (first, _, base), *others = each(study, root)
    for arm, _, folder in others:
        budget = at or study.check.budget_multiple * _largest_budget(base)
        settings = {"at": budget, "names": (first, arm), "columns": {}}
        terminal.heading(f"{arm} against {first}")
        judging.compare(
            base, folder, settings, sweep=None, gain=None, as_json=False, out=root / "comparisons" / f"{arm}.json"
        )


def _largest_budget(folder: Path) -> float:
    table = RunDirectory(folder).observations
    if not table.is_file():
        raise StudyError(f"{folder} has no observations.csv; `scaling run` finishes its arms, then compares them")
    rows = pl.read_csv(table, infer_schema_length=None).filter(pl.col("role") == "fit")
    return float(rows["budget"].to_numpy().max())
