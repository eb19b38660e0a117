"""What a report says: plain data that the charts and the page draw, and that nothing here computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.laws import Allocation, LawFit
from scaling.records import KnownEntropy, Observation


@dataclass(frozen=True)
class LossCurve:
    """One branch of one trajectory: its trunk, or a decay.

    Attributes:
      trajectory: its id.
      branch: `trunk`, or the horizon's name.
      params: N, under the study's convention.
      flops: C spent up to each point, under the study's convention.
      loss: mean training loss of the steps before each point, in nats a token.
    """

    trajectory: str
    branch: str
    params: int
    flops: tuple[float, ...]
    loss: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """The optimum for `multiple` times the largest budget; `beyond_data` where tokens would repeat."""

    multiple: float
    allocation: Allocation
    beyond_data: bool


@dataclass(frozen=True)
class Bowl:
    """A cell of a tuned ladder's bowls, at one batch size.

    Attributes:
      tokens: D, and `batch_tokens` a batch; `several` where the cell has bowls at others.
      held: whether the law of the best rates has not seen it.
      learning_rates: ascending, of the runs that did not diverge, and the mean of their `losses` over seeds.
      chosen: the rate that the law gives the cell; None where it was not fitted.
    """

    params: int
    tokens: float
    batch_tokens: int
    several: bool
    held: bool
    learning_rates: tuple[float, ...]
    losses: tuple[float, ...]
    chosen: float | None


@dataclass(frozen=True)
class Contents:
    """Everything in a report.

    Attributes:
      study_yaml: the resolved study.
      command: reproduces the run.
      curves: training losses.
      observations: every committed horizon that did not diverge, the check's among them.
      laws: name -> fit; `main` names the one that answers.
      trust: how far to trust the answers.
      remarks: what was left out, and why.
      check: record of the check (`prediction`, `measured`, ...), or None.
      known: the entropy of the text's source, or None where nobody knows it.
      bowls: of a tuned ladder.
      provenance: versions and commit.
    """

    name: str
    study_yaml: str
    command: str
    curves: tuple[LossCurve, ...]
    observations: tuple[Observation, ...]
    laws: Mapping[str, LawFit]
    main: str
    answers: tuple[Answer, ...]
    trust: str
    remarks: tuple[str, ...]
    check: Mapping[str, Any] | None
    provenance: Mapping[str, Any]
    known: KnownEntropy | None = None
    bowls: tuple[Bowl, ...] = ()

    @property
    def law(self) -> LawFit:
        """The law that answers."""
        return self.laws[self.main]

    @property
    def fitted(self) -> tuple[Observation, ...]:
        """What the laws were fitted to."""
        return tuple(row for row in self.observations if row.role == "fit")

    @property
    def checked(self) -> tuple[Observation, ...]:
        """What only the check saw."""
        return tuple(row for row in self.observations if row.role == "check")
