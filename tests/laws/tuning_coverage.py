"""How often intervals hold the truth where runs lose by imperfect tuning: `python -m tests.laws.tuning_coverage`.

Each row: 100 simulated studies of a planted chinchilla law. `own`: every size loses a half-normal part of the loss;
`smooth`: the learning rate is off by a line in ln N, and the loss by its square. The curve's truth is that of runs that
lose the mean of it.
"""

from typing import Any

import numpy as np

from scaling import laws
from tests.laws import planted

STUDIES = 100
AT = {"params": 3e5, "tokens": 5e6}
ROWS = [("own", 0.004), ("own", 0.002), ("smooth", 0.004), ("smooth", 0.002)]
NOISE = 0.002


def lost(kind: str, size: float, params: np.ndarray[Any, Any], generator: np.random.Generator) -> Any:
    """(rows,) ln L above that of the best tuning, of root mean square `size`."""
    if kind == "own":
        own = {one: size * abs(generator.standard_normal()) for one in np.unique(params)}
        return np.array([own[one] for one in params])
    line = (np.log(params) - np.log(params).mean()) / np.log(params).std()
    squared = (generator.standard_normal() * line + 0.5 * generator.standard_normal()) ** 2
    return squared * size / np.sqrt(np.mean(squared**2))


def held(kind: str, size: float, seed: int) -> dict[str, list[bool]]:
    """Of one study, by how the error is given: whether the intervals of alpha, beta and the curve hold the truth."""
    table = planted.study(noise=NOISE, seed=1000 + seed)
    error = lost(kind, size, np.array(table["params"]), np.random.default_rng(seed))
    table["loss"] = (np.array(table["loss"]) * np.exp(error)).tolist()
    table["error"] = (size * np.array(table["loss"])).tolist()
    how: dict[str, Any] = {"resamples": 200, "delta": 1e-2, "starts": 48, "seed": seed}
    fits = {
        "nothing": laws.fit(table, **how),
        "loss_se": laws.fit(table, **how, columns={"loss_se": "error"}),
        "beyond": laws.fit(table, **how, beyond=(size, 0.0)),
    }
    truth = float(planted.loss(AT["params"], AT["tokens"])) * float(np.exp(np.mean(error)))
    return {
        name: [
            *(fit.intervals[one].low <= planted.TRUTH[one] <= fit.intervals[one].high for one in ("alpha", "beta")),
            fit.predict(**AT).confidence.low <= truth <= fit.predict(**AT).confidence.high,
        ]
        for name, fit in fits.items()
    }


def main() -> None:
    for kind, size in ROWS:
        found = [held(kind, size, seed) for seed in range(STUDIES)]
        for name in found[0]:
            shares = np.mean([one[name] for one in found], axis=0)
            told = ", ".join(
                f"{what} {share:.0%}" for what, share in zip(("alpha", "beta", "curve"), shares, strict=True)
            )
            print(f"{kind} {size:.1%}, given as {name}: {told}", flush=True)


if __name__ == "__main__":
    main()
