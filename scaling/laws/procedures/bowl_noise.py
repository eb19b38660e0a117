"""The noise that the rows of all bowls show together, and bowls drawn anew with it. Plain NumPy."""

from collections.abc import Sequence

import numpy as np

from scaling.laws import noise as noises
from scaling.laws.errors import LawError
from scaling.laws.forms import Floats
from scaling.laws.procedures.bowls import Bowl
from scaling.laws.procedures.cells import Cell, Rows


def measured(cells: Sequence[Cell], bowls: Sequence[Bowl], clusters: Sequence[Rows]) -> noises.Noise:
    """The noise of ln L that the rows of all bowls show together. `clusters`: trajectory of each cell's rows.

    Raises:
      LawError: every bowl goes through all of its points, so that nothing shows the noise.
    """
    rows, columns = sum(len(bowl.rows) for bowl in bowls), sum(bowl.terms for bowl in bowls)
    if rows <= columns:
        raise LawError(
            f"{rows} rows for the {columns} coefficients of {len(bowls)} bowls show no noise: repeat some runs with "
            "another seed, or sweep more settings"
        )
    pairs = list(zip(cells, bowls, strict=True))
    number = np.repeat(np.arange(len(bowls)), [len(bowl.rows) for bowl in bowls])
    return noises.estimate(
        residual=np.concatenate([cell.log_loss[bowl.rows] - bowl.fitted for cell, bowl in pairs]),
        jacobian=_blocks(bowls),
        cluster=np.concatenate([own[bowl.rows] for own, bowl in zip(clusters, bowls, strict=True)]),
        weight=np.concatenate([bowl.weight for bowl in bowls]),
        cells=np.column_stack([number, np.concatenate([cell.logs[bowl.rows] for cell, bowl in pairs])]),
    )


def redrawn(bowls: Sequence[Bowl], noise: Floats) -> list[Floats]:
    """Coefficients (draws, terms) of each bowl, for noise (draws, rows of all bowls) about what they are fitted to."""
    ends = np.cumsum([len(bowl.rows) for bowl in bowls])[:-1]
    parts = np.split(noise, ends, axis=1)
    skew = np.sum([part @ bowl.skew_solver.T for part, bowl in zip(parts, bowls, strict=True)], axis=0)
    return [
        bowl.coefficients + (part - skew @ bowl.cubes.T) @ bowl.solver.T
        for part, bowl in zip(parts, bowls, strict=True)
    ]


def _blocks(bowls: Sequence[Bowl]) -> Floats:
    """(rows of all, terms of all + cubes): derivative of every fitted ln L by every coefficient and the skew."""
    width, ends = bowls[0].design.shape[1], np.cumsum([len(bowl.rows) for bowl in bowls])
    found = np.zeros((ends[-1], width * len(bowls)))
    for index, (bowl, end) in enumerate(zip(bowls, ends, strict=True)):
        found[end - len(bowl.rows) : end, width * index : width * (index + 1)] = bowl.design
    return np.hstack([found, np.vstack([bowl.cubes for bowl in bowls])]) if bowls[0].skew.any() else found
