"""Whether a trajectory is worth going on with: its loss against what others of the same N and D have committed."""

from scaling.records import Horizon, Observation, RunDirectory, Trajectory, commit_once, pretty_json, read_json


def give_up(directory: RunDirectory, trajectory: Trajectory, horizon: Horizon, above: float | None) -> bool:
    """Whether the loss at `horizon` is above `above` times the least of another trajectory of this N, D and text;
    where it is, stopped.json says so from now on.

    What others have committed by now depends on when they ran: the record holds what was compared with what.
    """
    if above is None:
        return False
    rows = _at(directory, horizon.tokens)
    mine = next(row for row in rows if row.trajectory == trajectory.id and row.horizon == horizon.name)
    others = [row for row in rows if row.trajectory != trajectory.id and _alike(row, mine)]
    best = min(others, key=lambda row: row.loss, default=None)
    if best is None or mine.loss <= above * best.loss:
        return False
    said = {
        "horizon": horizon.name,
        "tokens": horizon.tokens,
        "loss": mine.loss,
        "above_best": above,
        "best": {"trajectory": best.trajectory, "loss": best.loss},
    }
    commit_once(directory.trajectory(trajectory.id).stopped, pretty_json(said))
    return True


def _at(directory: RunDirectory, tokens: int) -> list[Observation]:
    """All that is committed at `tokens`, whichever trajectory it is of."""
    paths = directory.trajectories.glob(f"*/horizon-{tokens}-*.json")
    return [Observation.model_validate(read_json(path)["observation"]) for path in paths]


def _alike(one: Observation, other: Observation) -> bool:
    same = ("role", "params", "params_convention", "unique_tokens")
    mixed = {name: domain.share for name, domain in one.domains.items()}
    return all(getattr(one, name) == getattr(other, name) for name in same) and mixed == {
        name: domain.share for name, domain in other.domains.items()
    }
