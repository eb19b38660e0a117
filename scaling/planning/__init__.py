"""From a study to trajectories, and from trajectories to jobs. No JAX."""

from scaling.planning.cells import Cell, Skipped
from scaling.planning.checks import check_trajectories
from scaling.planning.collection import no_collection
from scaling.planning.cores import take_cores
from scaling.planning.disk import checkpoint_bytes, retained_bytes
from scaling.planning.family import cost_table, model_of, nearest_width, next_width, params_at, recipe_of
from scaling.planning.holding import Company, Elsewhere, Interrupted, in_turn
from scaling.planning.machine import accelerators_of, process_count, usable_accelerators, usable_cores
from scaling.planning.measuring import unmeasured
from scaling.planning.memory import available_bytes
from scaling.planning.optimum import expected_optimum
from scaling.planning.packing import (
    evaluation_jobs,
    jobs,
    left_flops,
    left_in,
    left_of,
    longest_first,
    makespan,
    pack,
    packed_makespan,
    reached,
)
from scaling.planning.planner import plan
from scaling.planning.plans import Plan, PlanRow, exact_flops, plan_checkpoint_bytes, plan_model_bytes
from scaling.planning.rates import Rate, Rule
from scaling.planning.shapes import ShapeRow, device_hours, shape_rows
from scaling.planning.tuning import Beside, Bowl, Corner, Run, Tuning

__all__ = [
    "Beside",
    "Bowl",
    "Cell",
    "Company",
    "Corner",
    "Elsewhere",
    "Interrupted",
    "Plan",
    "PlanRow",
    "Rate",
    "Rule",
    "Run",
    "ShapeRow",
    "Skipped",
    "Tuning",
    "accelerators_of",
    "available_bytes",
    "check_trajectories",
    "checkpoint_bytes",
    "cost_table",
    "device_hours",
    "evaluation_jobs",
    "exact_flops",
    "expected_optimum",
    "in_turn",
    "jobs",
    "left_flops",
    "left_in",
    "left_of",
    "longest_first",
    "makespan",
    "model_of",
    "nearest_width",
    "next_width",
    "no_collection",
    "pack",
    "packed_makespan",
    "params_at",
    "plan",
    "plan_checkpoint_bytes",
    "plan_model_bytes",
    "process_count",
    "reached",
    "recipe_of",
    "retained_bytes",
    "shape_rows",
    "take_cores",
    "unmeasured",
    "usable_accelerators",
    "usable_cores",
]
