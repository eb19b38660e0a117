"""What a sweep's jobs read, and where they speak: jobs/<name>.json and jobs/<name>.log."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from scaling.config import Resources
from scaling.engines.base import Order
from scaling.records import Job, RunDirectory, pretty_json, replace_all

AHEAD = 64
"""Job files that are written before their turn with one that is needed. Each has to be durable, since a queue may come
to it after this machine has lost its power; and a disk makes many durable in the time of a few."""


class JobFiles:
    """Of one sweep, each written once."""

    def __init__(self, directory: RunDirectory, ordered: Sequence[Job]):
        self._jobs = directory.jobs
        self._ahead = iter(ordered)
        self._written: set[str] = set()

    def file(self, job: Job) -> Path:
        return self._jobs / f"{job.name}.json"

    def log(self, job: Job) -> Path:
        return self._jobs / f"{job.name}.log"

    def log_size(self, job: Job) -> int:
        """Bytes that it holds now."""
        try:
            return self.log(job).stat().st_size
        except FileNotFoundError:
            return 0

    def order(self, job: Job, resources: Resources, following: Job | None = None) -> Order:
        """What an engine is handed, once the files are written."""
        return Order(
            name=job.name,
            job_file=self.file(job),
            log_file=self.log(job),
            resources=resources,
            next_file=None if following is None else self.file(following),
        )

    def known(self, job: Job) -> None:
        """An earlier process wrote its file."""
        self._written.add(job.name)

    def write(self, jobs: Iterable[Job]) -> None:
        """Files of `jobs`, and with any that is missing some of those to come.

        Raises:
          OSError: no space is left, among others.
        """
        wanted = [job for job in jobs if job.name not in self._written]
        if not wanted:
            return
        batch = {job.name: job for job in (*wanted, *islice(self._ahead, AHEAD)) if job.name not in self._written}
        replace_all({self.file(job): pretty_json(job.model_dump(mode="json")) for job in batch.values()})
        self._written |= batch.keys()
