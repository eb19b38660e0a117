"""Result files of one trajectory, committed as they appear."""

import json
import sys
from typing import Any

from scaling.external.observing import observe
from scaling.planning import usable_cores
from scaling.records import (
    DivergedResult,
    Horizon,
    Lease,
    Observation,
    ResultError,
    Trajectory,
    TrajectoryDirectory,
    commit_horizon,
    parse_result,
    pretty_json,
)


class Outputs:
    """Looks for what the command has answered, and commits it, under the trajectory's lease."""

    def __init__(self, trajectory: Trajectory, directory: TrajectoryDirectory, lease: Lease | None):
        self.trajectory, self.directory, self.lease = trajectory, directory, lease

    @property
    def left(self) -> list[Horizon]:
        """Horizons without a committed record."""
        return [one for one in self.trajectory.horizons if not self.directory.horizon(one).exists()]

    @property
    def done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.directory.diverged.exists() or not self.left

    def take_up(self) -> None:
        """Commit what an earlier run of the command left whole, and remove what it left wrong."""
        for horizon in self.left:
            try:
                self._collect(horizon)
            except ResultError as error:
                print(f"removed, to be written again: {error}", file=sys.stderr, flush=True)
                self.directory.output(horizon).unlink(missing_ok=True)

    def collect(self, ended: bool) -> None:
        """Commit what has appeared. A file that is not whole is waited for, as long as the command has not `ended`.

        Raises:
          ResultError: a file says something else than it may.
          LeaseLost: another job has taken over.
        """
        for horizon in self.left:
            try:
                self._collect(horizon)
            except _NotWhole:
                if ended:
                    raise

    def _collect(self, horizon: Horizon) -> None:
        path = self.directory.output(horizon)
        try:
            said = _json(path.read_bytes(), str(path))
        except FileNotFoundError:
            return
        result = parse_result(said, str(path))
        row = None if isinstance(result, DivergedResult) else observe(self.trajectory, horizon, result, str(path))
        if self.lease is not None:
            self.lease.check()
        if isinstance(result, DivergedResult):
            record = {"branch": horizon.name, "step": result.step, "loss": repr(result.loss)}
            self.directory.commit_diverged(pretty_json(record))
        if row is not None:
            self._commit(horizon, row)

    def _commit(self, horizon: Horizon, row: Observation) -> None:
        command = self.trajectory.command
        assert command is not None
        how = {"command": command.model_dump(mode="json"), "cores": len(usable_cores())}
        commit_horizon(self.directory, self.trajectory, horizon, row, how)


class _NotWhole(ResultError):
    """A file that is being written, or whose writer ended on the way."""


def _json(content: bytes, source: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise _NotWhole(f"{source} is no whole JSON ({error}); write it under another name, then rename it") from None
