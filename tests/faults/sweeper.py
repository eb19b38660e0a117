"""A sweep in a process of its own, for tests that end it: sweeper.py RUN_DIR JOBS.json [PROCESSES].

Runs the jobs to their end by the local engine, then writes the index of what they committed, as `scaling run` does.
"""

import json
import sys
from pathlib import Path

from scaling.engines import LocalEngine, Rules, supervise
from scaling.records import Job, RunDirectory
from scaling.studies.answers import write_observations
from scaling.studies.status import observations

run_dir, jobs, *processes = sys.argv[1:]
directory = RunDirectory(run_dir)
results = supervise(
    LocalEngine(int(processes[0]) if processes else 2),
    [Job.model_validate(job) for job in json.loads(Path(jobs).read_text())],
    directory,
    rules=Rules(retries=20, backoff_seconds=0.05, most_seconds=0.5),
)
for result in results:
    if result.status != "done":
        print(result.message, file=sys.stderr)
if all(result.status == "done" for result in results):
    write_observations(directory, observations(directory)[0])
sys.exit(0 if all(result.status == "done" for result in results) else 1)
