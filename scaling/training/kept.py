"""Annealed models that are kept, so that they can be measured later: parameters alone, as their loss is measured.

models/<horizon>/    written before the horizon is committed, so that a committed one has its model
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from scaling.records import Horizon, Trajectory
from scaling.training.distributed import barrier, is_first
from scaling.training.state import Params
from scaling.training.stored import DAMAGE, Stored, is_damage

LOG = logging.getLogger(__name__)


class KeptModels:
    """The models of one trajectory."""

    def __init__(self, root: Path, like: Params, about: Mapping[str, str], where: Mapping[str, str] | None = None):
        """`like`, `about` and `where` as in `Stored`."""
        self._root = root
        self._stored = Stored(like, about, where)

    def keep(self, horizon: Horizon, params: Params) -> None:
        """Write the model of `horizon`, and wait until it is on disk; nothing where it is there."""
        path = self._root / horizon.name
        there = path.exists()
        barrier(f"{path} is looked for")
        if there:
            return
        if is_first():
            for unfinished in self._root.glob(f"{horizon.name}*"):
                shutil.rmtree(unfinished, ignore_errors=True)
        barrier(f"unfinished {path} is removed")
        self._stored.write(path, params)
        self._stored.wait()

    def read(self, horizon: Horizon) -> Params | None:
        """The model of `horizon`; None, with a warning, where it is damaged or was never kept.

        Raises:
          CheckpointError: it is of another model or other tokens.
        """
        path = self._root / horizon.name
        try:
            params: Params = self._stored.read(path)
        except DAMAGE as error:
            if not is_damage(error):
                raise
            LOG.warning("%s is damaged, so that it cannot be measured: %s", path, error)
            return None
        return params

    def close(self) -> None:
        self._stored.close()


def is_kept(keep_models: str, trajectory: Trajectory, horizon: Horizon) -> bool:
    """Whether `keep_models` keeps the model of `horizon`."""
    largest = max(one.tokens for one in trajectory.horizons)
    return keep_models == "all" or (keep_models == "last" and horizon.tokens == largest)
