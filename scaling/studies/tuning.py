"""The stages of a tuned ladder before its ladder: bowls trained, their law fitted and committed, the ladder planned."""

from dataclasses import replace

from scaling.config import Study
from scaling.planning import Plan
from scaling.records import RunDirectory, exclusive
from scaling.studies import regret, show_tuning, staged, terminal, tuned_law
from scaling.studies.preparing import Prepared
from scaling.studies.regret import Judged
from scaling.studies.sweep import DONE, ended, train
from scaling.studies.tuned_law import TunedLaw


def tune(study: Study, prepared: Prepared) -> tuple[int, Prepared]:
    """(exit code, the study with its ladder planned): nothing to do where the study has no tuning, or its law is there.

    Several processes may do so at once: the first law that is committed is everybody's.

    Raises:
      StudyError: the bowls tell no law.
    """
    tuning = prepared.planned.tuning
    if tuning is None:
        return DONE, prepared
    directory = prepared.directory
    code = ended(train(study, directory, tuning.trajectories, "bowls", prepared.keys))
    if code != DONE:
        return code, prepared
    return DONE, with_law(study, prepared)


def with_law(study: Study, prepared: Prepared) -> Prepared:
    """The study with its ladder at the rates of the law of its bowls, all of which are trained.

    Raises:
      StudyError: the bowls tell no law.
    """
    directory, before = prepared.directory, prepared.planned
    assert before.tuning is not None
    with exclusive(directory.lock, wait=True, holder="scaling run"):
        known = {path.parent.name for path in directory.tuning.glob("*/law.json")}
        law = tuned_law.fitted(study, directory, before.tuning)
        found = staged.planned(study, before.data, prepared.count, directory)
        path = tuned_law.commit_predictions(law, found)
    show_tuning.law(law, found, path)
    if law.key not in known and known:
        terminal.warn(show_tuning.moved(law, staged.earlier(found, directory)))
    return replace(prepared, planned=found, law=law)


def judge(directory: RunDirectory, found: Plan, law: TunedLaw | None) -> Judged | None:
    """What the runs beside the ladder say of it; None of a study without tuning."""
    if found.tuning is None or law is None:
        return None
    return regret.judged(directory, found.tuning, law)
