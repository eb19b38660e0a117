"""A job that trains nothing: a real process that does what a table beside it says.

    fake_job.py TABLE.json JOB.json [--exit-with-parent] [--cores N] [--next JOB.json]

TABLE.json maps a job's name to {"exits": [status of each attempt], "seconds", "say", "commits": [paths], "deaf",
"advances": writes a checkpoint at each attempt, below "folder", "resumes": ends with 75 when asked to,
"exits_by_rank", "env": variables to note}.
Each start and end is a line of events.jsonl beside the table.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path


def end_with_parent():
    while os.read(0, 1):  # not sys.stdin: a thread that waits in it makes the interpreter abort at exit
        pass
    os._exit(1)


def main():
    table, *options = sys.argv[1:]
    job_file = next(word for at, word in enumerate(options) if word.endswith(".json") and options[at - 1] != "--next")
    if "--exit-with-parent" in options:
        threading.Thread(target=end_with_parent, daemon=True).start()
    if "--cores" in options:
        os.sched_setaffinity(0, set(map(int, options[options.index("--cores") + 1].split(","))))
    if "--core-count" in options:
        assert options[options.index("--core-count") + 1] == "1"
    following = Path(options[options.index("--next") + 1]).stem if "--next" in options else None
    name = json.loads(Path(job_file).read_text())["name"]
    told = json.loads(Path(table).read_text())[name]
    events = Path(table).with_name("events.jsonl")
    attempts = sum(json.loads(line)["name"] == name for line in events.read_text().splitlines() if '"start"' in line)

    def note(kind):
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        event = {
            "kind": kind,
            "name": name,
            "pid": os.getpid(),
            "cores": cores,
            "time": time.monotonic(),
            "next": following,
            "options": options,
            "env": [os.environ.get(name) for name in told.get("env", "").split()],
        }
        with events.open("a") as file:
            file.write(json.dumps(event) + "\n")

    if told.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if told.get("resumes"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    note("start")
    print(told.get("say", f"{name} speaks"), flush=True)
    time.sleep(told.get("seconds", 0))
    exits = told.get("exits", [0])
    status = exits[min(attempts, len(exits) - 1)]
    rank = options[options.index("--process") + 1] if "--process" in options else os.environ.get("SLURM_PROCID")
    status = told.get("exits_by_rank", {}).get(rank, status)
    if told.get("advances"):
        (Path(told["folder"]) / f"checkpoints/trunk/{attempts + 1}").mkdir(parents=True)
    if status == 0:
        for path in map(Path, told["commits"]):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    note("end")
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


main()
