"""Shapes of TPU slices on GKE: how many hosts a topology has, and how many chips each of them.

Machine types and topologies: Google's page of TPU v5e; for the others the tables of its tools xpk and cluster-toolkit.
"""

import math
import re
from dataclasses import dataclass

TOPOLOGY = r"^[1-9]\d*(x[1-9]\d*){1,2}$"


@dataclass(frozen=True)
class SliceShape:
    """Hosts of a slice, each with as many chips."""

    hosts: int
    chips_per_host: int


@dataclass(frozen=True)
class Generation:
    """TPUs of one label `cloud.google.com/gke-tpu-accelerator`."""

    axes: int
    """Numbers in a topology."""
    gangs: int
    """Chips a host of a slice of several hosts."""
    alone: tuple[int, ...]
    """Chips a host of a slice of one host."""


FLAT = Generation(axes=2, gangs=4, alone=(1, 4, 8))
CUBIC = Generation(axes=3, gangs=4, alone=(1, 2, 4))
GENERATIONS = {
    "tpu-v4-podslice": Generation(axes=3, gangs=4, alone=(4,)),
    "tpu-v5-lite-podslice": FLAT,
    "tpu-v5p-slice": CUBIC,
    "tpu-v6e-slice": FLAT,
    "tpu7x": Generation(axes=3, gangs=4, alone=(1, 4)),
}


def chips_of(topology: str) -> int:
    """2x4 has 8, 2x2x4 has 16."""
    return math.prod(int(side) for side in topology.split("x"))


def shapes(accelerator: str, topology: str, chips_per_host: int | None = None) -> tuple[SliceShape, ...]:
    """Every way in which a slice of `topology` is cut into hosts, fewest hosts first. 2x4 of v5e and v6e has two: one
    host of 8 chips, or two of 4.

    Raises:
      ValueError: the three do not fit together; the message follows the field's name.
    """
    if not re.match(TOPOLOGY, topology):
        raise ValueError(f"topology is {topology!r}; write it as 2x4 or 2x2x4")
    chips = chips_of(topology)
    generation = GENERATIONS.get(accelerator)
    if generation is None:
        if chips_per_host is None:
            known = ", ".join(sorted(GENERATIONS))
            raise ValueError(f"accelerator is {accelerator}, which is none of {known}; give chips_per_host too")
        every = {SliceShape(chips // chips_per_host, chips_per_host)} if chips % chips_per_host == 0 else set()
    else:
        if topology.count("x") + 1 != generation.axes:
            like = "2x4" if generation.axes == 2 else "2x2x4"
            raise ValueError(
                f"topology is {topology}, and {accelerator} has {generation.axes} axes; write it as {like}"
            )
        every = {SliceShape(1, chips)} if chips in generation.alone else set()
        if chips % generation.gangs == 0 and chips > generation.gangs:
            every |= {SliceShape(chips // generation.gangs, generation.gangs)}
    found = sorted(
        (shape for shape in every if chips_per_host in (None, shape.chips_per_host)), key=lambda shape: shape.hosts
    )
    if not found:
        there = " or ".join(str(shape.chips_per_host) for shape in sorted(every, key=lambda shape: shape.hosts))
        can = f"{topology} of {accelerator} has {there} a host" if there else f"{accelerator} has no hosts for {chips}"
        said = f"chips_per_host is {chips_per_host}" if chips_per_host else f"topology is {topology}"
        raise ValueError(f"{said}, and {can}; change one of them")
    return tuple(found)
