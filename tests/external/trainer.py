"""A trainer in plain Python, which knows nothing of the laboratory: it computes a planted law with known noise.

With --ticks it takes a tick for every eight steps, notes each in that file, checkpoints at each, and goes on from its
checkpoint. What it is told to do beside makes it misbehave at horizons of more than 40 steps.
"""

import argparse
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

E, A, ALPHA, B, BETA, NOISE = 1.69, 406.4, 0.34, 410.7, 0.28, 0.003
STEPS_A_TICK = 8
GOOD_STEPS = 40


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--do", default="train")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--ticks")
    parser.add_argument("task")
    told = parser.parse_args()
    task = json.loads(Path(told.task).read_text())
    checkpoint = Path(task["checkpoints"]) / "state.json"
    if told.do == "children":
        if os.fork() == 0:
            time.sleep(60)
        note(told.ticks, f"pid {os.getpid()}")
    if told.do in ("resume", "exit0"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75 if told.do == "resume" else 0))
    if told.do == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tick = json.loads(checkpoint.read_text())["tick"] if checkpoint.exists() else 0
    for horizon in task["horizons"]:
        while told.ticks and tick < horizon["steps"] // STEPS_A_TICK:
            time.sleep(told.seconds)
            tick += 1
            put(checkpoint, json.dumps({"tick": tick}))
            note(told.ticks, f"{task['id']} {tick}")
        answer(told.do, task, horizon)
    print("the trainer speaks", flush=True)
    if told.do == "late":
        sys.exit(9)


def answer(do: str, task: dict, horizon: dict) -> None:
    output, result = Path(horizon["output"]), {"loss": law(task, horizon)}
    match do if horizon["steps"] > GOOD_STEPS else "train":
        case "wrong":
            result["loss"] = "low"
        case "unknown":
            result["lossy"] = 1.0
        case "nan":
            result["loss"] = math.nan
        case "other_n":
            result["params"] = task["params"] + 1
        case "diverge":
            result = {"diverged": True, "step": 7}
        case "die":
            print("RuntimeError: no memory", file=sys.stderr, flush=True)
            sys.exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "again":
            if not (output.parent / "again").exists():
                (output.parent / "again").touch()
                sys.exit(75)
        case "missing":
            return
        case "half":
            output.write_text('{"loss": 1.')
            return
        case "slowly":
            output.write_text('{"lo')
            time.sleep(0.5)
    put(output, json.dumps(result))


def law(task: dict, horizon: dict) -> float:
    noise = random.Random(f"{task['params']} {task['seed']} {horizon['tokens']}").gauss(0.0, NOISE)
    return (E + A / task["params"] ** ALPHA + B / horizon["tokens"] ** BETA) * math.exp(noise)


def note(ticks: str | None, line: str) -> None:
    if ticks:
        with open(ticks, "a") as file:
            file.write(f"{line}\n")


def put(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
