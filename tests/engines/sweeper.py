"""A sweep in a process of its own, for tests that kill it: sweeper.py TABLE.json RUN_DIR JOBS.json."""

import json
import sys
from pathlib import Path

from scaling.engines import LocalEngine, supervise
from scaling.records import Job, RunDirectory

table, run_dir, jobs = sys.argv[1:]
fake_job = str(Path(__file__).with_name("fake_job.py"))
engine = LocalEngine(2, [sys.executable, fake_job, table])
supervise(engine, [Job.model_validate(job) for job in json.loads(Path(jobs).read_text())], RunDirectory(run_dir))
