"""What comes before any training of a study: everything checked, its text read, its plan made, its folder set up."""

from dataclasses import dataclass
from pathlib import Path

from scaling.accounting import Count
from scaling.config import Study, dump_study
from scaling.data import Tokens, save
from scaling.planning import Plan, plan_checkpoint_bytes, plan_model_bytes
from scaling.records import RunDirectory, exclusive, replace
from scaling.studies import known, own_parts, preflight, sets, show, show_plan, staged, sweep, terminal, text
from scaling.studies.tuned_law import TunedLaw


@dataclass(frozen=True)
class Prepared:
    """A study that may be trained."""

    directory: RunDirectory
    planned: Plan
    count: Count
    keys: tuple[str, ...]
    """Of the named held-out sets that every model is measured on."""
    tokens: Tokens
    said: tuple[str, ...]
    """Of the sets."""
    law: TunedLaw | None = None
    """Of a tuned ladder's bowls, once they are trained."""

    def announce(self) -> None:
        """Say what will run, and where."""
        show.text(self.planned, self.tokens)
        show_plan.stages(self.planned)
        for line in (f"run directory: {self.directory.root}", *self.said):
            terminal.line(line)


def prepare(study: Study, root: Path) -> Prepared:
    """Check `study`, and set up the run directory `root` for it. Several processes may do so at once.

    Raises:
      StudyError: bad input, found before anything is trained.
      RecordError: a record is damaged.
    """
    preflight.check_directory(study, root)
    sweep.check_engine(study)
    own_parts.check(study)
    tokens = text.tokens_of(study)
    named = sets.read(study, tokens, study.evaluation.sets, "evaluation.sets.")
    directory = RunDirectory(root)
    count = own_parts.counter(study, directory)
    planned = staged.planned(study, tokens.record, count, directory)
    checkpoints, models = (sum(map(size, planned.stages)) for size in (plan_checkpoint_bytes, plan_model_bytes))
    preflight.check_space(root, checkpoints, models)
    root.mkdir(parents=True, exist_ok=True)
    with exclusive(directory.lock, wait=True, holder="scaling run"):
        save(tokens, directory.data)
        replace(directory.study, dump_study(study).encode())
        known.keep(study, tokens, directory)
        changed = sets.keep(named, directory)
        own_parts.keep(count, directory)
    said = (*(sets.said(one.record) for one in named), *changed)
    return Prepared(directory, planned, count, tuple(one.record.key for one in named), tokens, said)
