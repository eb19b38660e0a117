"""From a study to trajectories, and from trajectories to jobs. No JAX."""

from scaling.planning.designs import check_trajectories, expected_optimum, plan
from scaling.planning.disk import checkpoint_bytes, retained_bytes
from scaling.planning.family import cost_table, model_of, nearest_width, next_width, params_at, recipe_of
from scaling.planning.machine import accelerators_of, process_count, usable_accelerators, usable_cores
from scaling.planning.measuring import unmeasured
from scaling.planning.memory import available_bytes
from scaling.planning.packing import (
    evaluation_jobs,
    jobs,
    left_flops,
    left_in,
    left_of,
    longest_first,
    makespan,
    pack,
    reached,
)
from scaling.planning.plans import Plan, PlanRow, exact_flops, plan_checkpoint_bytes, plan_model_bytes

__all__ = [
    "Plan",
    "PlanRow",
    "accelerators_of",
    "available_bytes",
    "check_trajectories",
    "checkpoint_bytes",
    "cost_table",
    "evaluation_jobs",
    "exact_flops",
    "expected_optimum",
    "jobs",
    "left_flops",
    "left_in",
    "left_of",
    "longest_first",
    "makespan",
    "model_of",
    "nearest_width",
    "next_width",
    "pack",
    "params_at",
    "plan",
    "plan_checkpoint_bytes",
    "plan_model_bytes",
    "process_count",
    "reached",
    "recipe_of",
    "retained_bytes",
    "unmeasured",
    "usable_accelerators",
    "usable_cores",
]
