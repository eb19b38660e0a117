"""A study's plan, with what it takes: nothing is written, nothing is trained, no JAX."""

from typing import Any

from scaling.config import Study
from scaling.data import prepare
from scaling.planning import Plan, plan


def plan_of(study: Study) -> Plan:
    """Read the study's text and plan its sweep."""
    return plan(study, prepare(study.data, study.seed).record)


def as_json(planned: Plan) -> dict[str, Any]:
    """The plan as plain data."""
    return planned.as_json()
