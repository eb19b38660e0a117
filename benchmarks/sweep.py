"""A sweep of 10,000 jobs on 1,000 simulated slices that come and go, and `scaling status` of what it leaves.

    python benchmarks/sweep.py

The sweep, the job files and the records are real; slices and jobs are simulated. Each row is a process of its own. Ends
with 1 where the sweep's own work takes 10 CPU ms a job or 1 GiB, or `scaling status` 3 CPU seconds.
"""

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from scaling.config import Study, dump_study, parse_study
from scaling.data import ByteTokenizer, Summary, Tokens, save
from scaling.data.streams import fingerprint
from scaling.engines import Conditions, Simulation, simulate
from scaling.planning import plan
from scaling.records import DataRecord, Job, RunDirectory, replace
from scaling.studies.job_settings import settings_of

HOURS = (math.inf, 24.0, 4.0, 1.0)
"""Mean time between two preemptions of a slice."""
SLICES, SEEDS = 1000, 400
WIDTHS = tuple(range(256, 256 + 25 * 32, 32))
SECONDS_PER_JOB, MEMORY_BYTES, STATUS_SECONDS = 10e-3, 2**30, 3.0
"""The limits."""
HOUR = 3600.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hours", type=float, help="one row alone, as JSON")
    parser.add_argument("--out", type=Path, help="its folder")
    options = parser.parse_args()
    if options.out:
        print(json.dumps(row(options.out, options.hours)))
        return 0
    print(f"{len(WIDTHS) * SEEDS:,} jobs on {SLICES:,} slices, one core")
    print(
        f"{'preempted':>10} {'makespan':>9} {'/ bound':>8} {'waste':>7} {'lost':>6} {'starts':>7} {'away':>6} "
        f"{'idle':>6} {'attempts':>9} {'failed':>7} {'CPU ms/job':>11} {'wall ms/job':>12} {'MiB':>5} "
        f"{'status: CPU, wall':>18} {'--json: CPU, wall':>18}"
    )
    within = True
    for hours in HOURS:
        folder = Path(tempfile.mkdtemp(prefix="sweep-"))
        try:
            command = [sys.executable, __file__, "--out", str(folder), "--hours", str(hours)]
            found = json.loads(pinned(command).splitlines()[-1])
            found |= {"status": status(folder), "json": status(folder, "--json")}
        finally:
            shutil.rmtree(folder)
        print(said(hours, found), flush=True)
        within &= found["cpu"] < SECONDS_PER_JOB and found["peak"] < MEMORY_BYTES
        within &= max(found["status"][0], found["json"][0]) < STATUS_SECONDS
    return 0 if within else 1


def row(folder: Path, hours: float) -> dict[str, Any]:
    """One simulated sweep, in this process."""
    directory = RunDirectory(folder)
    asked = study()
    save(tokens(), directory.data)
    replace(directory.study, dump_study(asked).encode())
    settings = settings_of(asked, directory)
    trajectories = plan(asked, tokens().record).trajectories
    jobs = [Job(name=one.id, settings=settings, trajectories=(one,)) for one in trajectories]
    conditions = Conditions(
        slices=SLICES,
        flops_per_second=1e14,
        start_seconds=90.0,
        checkpoint_seconds=600.0,
        preemption_seconds=hours * HOUR,
        node_loss_seconds=2 * HOUR,
        slices_per_node=4,
        gone_seconds=300.0,
        failure_probability=1e-3,
    )
    return figures(simulate(jobs, conditions, directory))


def figures(found: Simulation) -> dict[str, Any]:
    count, spent = len(found.results), found.spent
    return {
        "makespan": found.makespan_seconds / HOUR,
        "bound": found.bound_seconds / HOUR,
        "waste": found.waste,
        "lost": (spent.repeated + spent.failed) / spent.total,
        "starts": spent.starting / spent.total,
        "away": spent.gone / spent.total,
        "idle": spent.idle / spent.total,
        "attempts": found.attempts,
        "failed": sum(one.status != "done" for one in found.results),
        "cpu": found.cpu_seconds / count,
        "wall": found.wall_seconds / count,
        "peak": found.peak_bytes,
    }


def said(hours: float, found: dict[str, Any]) -> str:
    columns = (("lost", 6), ("starts", 7), ("away", 6), ("idle", 6))
    shares = " ".join(f"{found[name]:>{width}.1%}" for name, width in columns)
    return (
        f"{f'{hours:g} h' if math.isfinite(hours) else 'never':>10} {found['makespan']:>7.2f} h "
        f"{found['makespan'] / found['bound']:>8.3f} {found['waste']:>7.1%} {shares} {found['attempts']:>9,} "
        f"{found['failed']:>7} {1e3 * found['cpu']:>11.2f} {1e3 * found['wall']:>12.2f} {found['peak'] / 2**20:>5.0f} "
        f"{seconds(found['status'])} {seconds(found['json'])}"
    )


def seconds(pair: tuple[float, float]) -> str:
    return f"{pair[0]:>9.2f} s {pair[1]:>5.2f} s"


def status(folder: Path, *words: str) -> tuple[float, float]:
    """(CPU, wall) seconds of the whole command, in a fresh process."""
    before, started = cpu_of_children(), time.perf_counter()
    pinned([sys.executable, "-m", "scaling", "status", str(folder), *words])
    return cpu_of_children() - before, time.perf_counter() - started


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pinned(command: list[str]) -> str:
    """What it says; on one core where the system lets it."""
    core = min(psutil.Process().cpu_affinity()) if hasattr(os, "sched_setaffinity") else None
    chosen = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=chosen).stdout


def study() -> Study:
    sweep = {
        "budgets": [3e16, 1e17, 3e17, 1e18],
        "widths": list(WIDTHS),
        "sizes_per_budget": 15,
        "expected_tokens_per_param": 20,
        "replicate_widths": list(WIDTHS),
        "replicate_budgets": 2,
        "replicate_seeds": SEEDS,
    }
    return parse_study(
        {
            "name": "ten_thousand",
            "family": {"layers": 8, "heads": 8, "sequence_length": 1024},
            "training": {"batch_tokens": 65_536, "warmup_tokens": 1_310_720, "learning_rate": 3e-3},
            "sweep": sweep,
            "check": {"enabled": False},
            "engine": {"compilation_cache": None},
        }
    )


def tokens() -> Tokens:
    """Text that nobody reads: a plan asks for its size alone."""
    train, validation = np.zeros(1_000_000, np.uint16), np.zeros(1_000, np.uint16)
    documents = np.array([0, 1_000])
    record = DataRecord(
        fingerprint=fingerprint(train, validation, documents),
        tokenizer=ByteTokenizer().identity,
        train_tokens=len(train),
        validation_tokens=len(validation),
    )
    summary = Summary(
        tokenizer=ByteTokenizer().identity,
        vocabulary=ByteTokenizer().vocabulary,
        documents=2,
        train_documents=1,
        validation_documents=1,
        duplicates_dropped=0,
        empty_dropped=0,
        files_skipped=(),
        unique_tokens=len(train),
        train_bytes=0,
        validation_bytes=0,
    )
    return Tokens(train, validation, documents, record, summary)


if __name__ == "__main__":
    sys.exit(main())
