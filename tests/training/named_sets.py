"""Sets for tests of training: the held-out text under a name, and questions about its words."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from scaling.config import SetConfig
from scaling.data import ByteTokenizer, Tokens, read_set, save_set
from scaling.records import Evaluated, Job, RunDirectory, read_json

WORDS = ["the", "model", "learns", "law", "loss", "compute"]


def named_sets(folder: Path, *runs: Path, tokens: Tokens) -> tuple[str, str]:
    """(key of `again`, the held-out documents in their order; key of `quiz`) in each of `runs`."""
    bounds = tokens.validation_documents
    texts = [ByteTokenizer().decode(tokens.validation[start:end]) for start, end in pairwise(bounds)]
    again = folder / "again.jsonl"
    again.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    questions = []
    for number in range(12):
        chosen = [str(word) for word in np.random.default_rng(number).choice(WORDS, 3, replace=False)]
        prompt = f"{chosen[1]} and {chosen[0][:2]}"
        questions.append({"prompt": prompt, "choices": [chosen[0][2:] + " ", "qz ", "xxxx "], "answer": 0})
    quiz = folder / "quiz.jsonl"
    quiz.write_text("\n".join(json.dumps(question) for question in questions))
    found = [
        read_set("again", SetConfig(path=str(again), text_field="text"), ByteTokenizer(), tokens.train, "set "),
        read_set("quiz", SetConfig(path=str(quiz)), ByteTokenizer(), tokens.train, "set "),
    ]
    for run in runs:
        for one in found:
            save_set(one, RunDirectory(run).sets / one.record.key)
    return found[0].record.key, found[1].record.key


def measured_on(job: Job, *keys: str) -> Job:
    return job.model_copy(update={"settings": job.settings.model_copy(update={"sets": keys})})


def scores_of(job: Job, *keys: str) -> dict[str, float]:
    """Every number of every horizon of the job's first trajectory."""
    directory = RunDirectory(job.settings.run_dir).trajectory(job.trajectories[0].id)
    found = {}
    for horizon in job.trajectories[0].horizons:
        for key in keys:
            row = Evaluated.model_validate(read_json(directory.evaluation(horizon.name, key)))
            found |= {f"{horizon.tokens} {key} {name}": value for name, value in row.score.columns.items()}
    return found
