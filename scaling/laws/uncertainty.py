"""Resamples of a fit: what the same study would have given with other seeds.

`noise`: new losses are drawn from the fitted law with the measured noise (noise.py), a common part for each
trajectory and one for each row, its scale drawn anew each time, and fitted again from the optimum. Right for the few
dozen runs of one study, where resampling six trajectories covers 65 to 83% instead of 95%.
`pairs`: trajectories are drawn with replacement. Needs many of them; assumes nothing about the noise.
`rows`: the same with rows, as if none shared a trajectory.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.laws import noise as noises
from scaling.laws import solver
from scaling.laws.forms import Floats

METHODS = ("auto", "noise", "pairs", "rows")
PAIRS_FROM = 50
"""Trajectories from which `pairs` is the default."""


@dataclass(frozen=True)
class Resamples:
    """Refitted laws.

    Attributes:
      z: (resamples, parameters) in solver coordinates.
      run_noise: (resamples,) standard deviation of ln L of one new run.
      noise: what the residuals and replicates say.
      method: noise, pairs or rows.
    """

    z: Floats
    run_noise: Floats
    noise: noises.Noise
    method: str


def resample(
    problem: solver.Problem, z: Floats, cluster: np.ndarray[Any, Any], count: int, seed: int, method: str = "auto"
) -> Resamples:
    """`count` refits of the law at `z` (parameters,). `method` is one of METHODS."""
    fitted, jacobian = linearised(problem, z)
    cells = np.stack([problem.inputs[name] for name in problem.form.inputs], axis=1)
    free = [index for index, name in enumerate(problem.form.names) if name in problem.free]
    found = noises.estimate(problem.target - fitted, jacobian[:, free], cluster, problem.weights, cells)
    generator = np.random.default_rng(seed)
    if method == "rows":
        cluster = np.arange(len(cluster))
    names, place = np.unique(cluster, return_inverse=True)
    if method == "auto":
        method = "pairs" if len(names) >= PAIRS_FROM else "noise"
    common, row = found.draw(count, generator)
    tolerance = solver.RESAMPLE_TOLERANCE
    starts = np.broadcast_to(z, (count, len(z)))
    if method == "noise":
        drawn = noises.simulate(cluster, problem.weights, common, row, generator)
        solution = solver.solve(problem, starts, target=fitted + drawn, tolerance=tolerance)
    else:
        times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count)
        solution = solver.solve(problem, starts, weights=problem.weights * times[:, place], tolerance=tolerance)
    return Resamples(z=solution.z, run_noise=np.hypot(common, row), noise=found, method=method)


def linearised(problem: solver.Problem, z: Floats) -> tuple[Floats, Floats]:
    """(prediction in the unit of the residuals, its Jacobian) at `z`: (rows,), (rows, parameters).

    By central differences, within the bounds; a coordinate that is held or tied has no derivative of its own.
    """
    size = len(z)
    width = 1e-5 * np.maximum(1.0, np.abs(z))
    moved = problem.fitted(np.concatenate([z[None], z + np.diag(width), z - np.diag(width)]))
    slopes = ((moved[1 : size + 1] - moved[size + 1 :]) / (2 * width[:, None])).T
    return moved[0], np.where(np.isfinite(slopes), slopes, 0.0)
