"""The plan of a study by what its records know: a tuned ladder's sweep at the rates of its law, once there is one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from scaling.accounting import Count
from scaling.config import Study
from scaling.planning import Plan, left_in, plan
from scaling.planning.tuning import tuning_of
from scaling.records import DataRecord, Observation, RunDirectory, Trajectory, read_json

if TYPE_CHECKING:
    from scaling.studies.tuned_law import TunedLaw

MOST_NAMED = 8
"""Trajectories of an earlier plan that are named one by one."""
OF_A_SWEEP = ("fit", "mixture")


class Stage(NamedTuple):
    """One stage of a tuned ladder."""

    number: int
    name: str
    trajectories: tuple[Trajectory, ...]

    def __str__(self) -> str:
        return f"stage {self.number}, {self.name}"


BOWLS, LAW = "the bowls", "the law of the bowls"
LADDER, BESIDE = "the ladder at the rates of their law", "its regret and corners"


def planned(study: Study, data: DataRecord, count: Count, directory: RunDirectory | None = None) -> Plan:
    """What `study` trains. Of a tuned ladder the sweep is exact once `directory` has the law of its bowls.

    Raises:
      StudyError: as `planning.plan`.
      RecordError: the law is damaged.
    """
    law = law_of(study, data, count, directory)
    found = plan(study, data, count, None if law is None else law.rule)
    if found.tuning is None:
        return found
    said = [*_told(found, law), *_earlier(found, directory)]
    return replace(found, notes=(*found.notes, *said))


def law_of(study: Study, data: DataRecord, count: Count, directory: RunDirectory | None) -> "TunedLaw | None":
    """The committed law of the bowls of a tuned ladder, where there is one."""
    if study.tuning is None or directory is None:
        return None
    from scaling.studies import tuned_law  # brings the law engine with it, and most studies are not tuned

    return tuned_law.current(study, directory, tuning_of(study, study.tuning, data, count))


def stages(found: Plan) -> tuple[Stage, ...]:
    """Of a tuned ladder what is trained one after another, as far as it is known; nothing of other studies."""
    if found.tuning is None:
        return ()
    bowls = Stage(1, BOWLS, found.tuning.trajectories)
    if found.tuning.beside is None:
        return (bowls,)
    return (bowls, Stage(3, LADDER, found.trajectories), Stage(4, BESIDE, found.tuning.beside.trajectories))


def current_stage(found: Plan, directory: RunDirectory) -> Stage | None:
    """The first stage of which something is left, the law's where its bowls are done and there is none; of all that are
    done the last. None of other studies."""
    every, keep = stages(found), found.study.checkpoints.keep_forks
    left = (stage for stage in every if any(left_in(directory, one, keep) for one in stage.trajectories))
    last = every[-1] if found.rates_are_known and every else None
    return next(left, last if found.tuning is None or last else Stage(2, LAW, ()))


def relabelled(rows: Sequence[Observation], found: Plan) -> list[Observation]:
    """`rows` with the role that they have in the plan: what the sweep no longer trains is `earlier`, and no law's."""
    if not found.rates_are_known:
        return list(rows)
    roles = {(one.id, horizon.name): one.role for one in found.trajectories for horizon in one.horizons}
    told = []
    for row in rows:
        role = roles.get((row.trajectory, row.horizon), "earlier" if row.role in OF_A_SWEEP else row.role)
        told.append(row if role == row.role else row.model_copy(update={"role": role}))
    return told


def earlier(found: Plan, directory: RunDirectory) -> list[str]:
    """Trajectories that were trained for the sweep and are not in its plan any more."""
    mine = {one.id for one in found.trajectories}
    others = [one for one in directory.trajectory_directories() if one.root.name not in mine]
    return [one.root.name for one in others if read_json(one.record)["role"] in OF_A_SWEEP]


def _told(found: Plan, law: "TunedLaw | None") -> list[str]:
    assert found.tuning is not None
    what = "rates and batch sizes" if found.study.tuning and len(found.study.tuning.over) > 1 else "rates"
    at = f"N and D = {found.tuning.ratio:.4g} N"
    if law is None:
        return [f"the sweep's {what} will be read off the law of the bowls, at {at}; here they are the family's own"]
    lines = [f"the sweep's {what} are read off the law tuning/{law.key}, at {at}"]
    return [*lines, *(f"tuning leaves out {line}" for line in law.left_out)]


def _earlier(found: Plan, directory: RunDirectory | None) -> list[str]:
    if directory is None or not found.rates_are_known:
        return []
    names = earlier(found, directory)
    if not names:
        return []
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return [
        f"{len(names)} trajectories were trained at rates that the sweep no longer has, and no law sees them: "
        f"{', '.join(names[:MOST_NAMED])}{more}"
    ]
