"""What became of a sweep's jobs: a result each, and a record of each that failed."""

import shlex
from datetime import UTC, datetime
from typing import Literal

from scaling.engines.base import Ended, JobResult, Status
from scaling.engines.causes import said
from scaling.engines.ending import tail
from scaling.engines.job_files import JobFiles
from scaling.engines.waiting import Moving
from scaling.records import Failure, RunDirectory, pretty_json, replace


class Outcomes:
    """Results by name, in the order in which jobs ended."""

    def __init__(self, directory: RunDirectory, files: JobFiles):
        self._directory, self._files = directory, files
        self.results: dict[str, JobResult] = {}

    def finish(self, moving: Moving, status: Status, message: str) -> None:
        """The job's result; what failed is recorded, to be started again by `scaling retry`."""
        name = moving.job.name
        self.results[name] = JobResult(moving.job, status, moving.starts, message)
        if status in ("failed", "lost"):
            cause: Literal["yours", "outside"] = "yours" if status == "failed" else "outside"
            at = datetime.now(UTC).isoformat(timespec="seconds")
            failure = Failure(job=name, cause=cause, message=message, attempts=moving.starts, at=at)
            replace(self._directory.failure(name), pretty_json(failure.model_dump(mode="json")))

    def failure(self, moving: Moving, ended: Ended) -> str:
        """How it ended, its log's last lines, and the command that runs it alone."""
        log, submission = self._files.log(moving.job), moving.submission
        times = f" (started {moving.starts} times)" if moving.starts > 1 else ""
        alone = shlex.join(submission.command) if submission else ""
        return (
            f"job {moving.job.name} {said(ended)}{times}; the last lines of {log}:\n{tail(log, moving.log_start)}\n"
            f"it alone, again: {alone}"
        )
