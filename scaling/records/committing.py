"""What is committed for a trajectory that begins, and for each horizon of it: once, and never over what is there."""

import time
from collections.abc import Mapping
from typing import Any

from scaling.records.atomic import commit_once, pretty_json
from scaling.records.directories import TrajectoryDirectory
from scaling.records.observation import Observation
from scaling.records.provenance import provenance
from scaling.records.schema import Horizon, Trajectory


def commit_trajectory(directory: TrajectoryDirectory, trajectory: Trajectory) -> None:
    """Write trajectory.json: identity and counts. Horizons are part of neither, so that budgets can be added later."""
    record = trajectory.model_dump(mode="json", exclude={"horizons"})
    commit_once(directory.record, pretty_json(record | {"id": trajectory.id, "provenance": provenance()}))


def commit_horizon(
    directory: TrajectoryDirectory, trajectory: Trajectory, horizon: Horizon, row: Observation, how: Mapping[str, Any]
) -> None:
    """Write the horizon's file; `how` is what else is known of how it was trained."""
    record = {
        "observation": row.model_dump(mode="json"),
        "horizon": horizon.model_dump(mode="json"),
        "identity": trajectory.identity,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **how,
        "provenance": provenance(),
    }
    commit_once(directory.horizon(horizon), pretty_json(record))
