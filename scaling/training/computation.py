"""How a job's numbers are computed where it runs: precision, kernels, and how much of a batch at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import jax
from jax.sharding import Mesh

from scaling.config import ComputeConfig
from scaling.config.compute import Precision
from scaling.models import Computing, computed_by
from scaling.training.accumulation import parts_of

AS_IT_COMES = ComputeConfig()


@dataclass(frozen=True)
class Computation:
    """What a study says of it, on the devices of a job."""

    computing: Computing
    microbatch_tokens: int | None
    shards: int
    """Devices that a batch is split over."""

    def applied(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, whose models are computed so wherever it is traced."""

        @wraps(function)
        def traced(*given: Any) -> Any:
            with computed_by(self.computing):
                return function(*given)

        return traced

    def parts(self, tokens_BT: jax.Array) -> int:
        """Into how many parts a batch int32[B, T + 1] is taken."""
        sequences, length = tokens_BT.shape
        return parts_of(sequences, length - 1, self.shards, self.microbatch_tokens)


def computation(compute: ComputeConfig, mesh: Mesh | None) -> Computation:
    """`compute` on the devices of `mesh`, or on the default one."""
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    platform = "gpu" if platform in ("cuda", "rocm") else platform
    precision: Precision = (
        ("float32" if platform == "cpu" else "bfloat16") if compute.precision == "auto" else compute.precision
    )
    shards = 1 if mesh is None else mesh.shape["data"] * mesh.shape["fsdp"]
    computing = Computing(platform, precision, compute.attention, compute.remat)
    return Computation(computing, compute.microbatch_tokens, shards)
