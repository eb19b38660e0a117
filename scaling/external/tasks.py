"""What a command is told of a trajectory: the task file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data import Tokens, domains_of
from scaling.records import Horizon, Task, TaskHorizon, Text, TextDomain, TokenFile, Trajectory, TrajectoryDirectory


def task_of(trajectory: Trajectory, left: Sequence[Horizon], directory: TrajectoryDirectory, tokens: Tokens) -> Task:
    """`trajectory` with the horizons that are left of it; paths are whole, for the command may stand anywhere."""
    return Task(
        id=trajectory.id,
        checkpoints=str(directory.own_checkpoints.absolute()),
        params=trajectory.params,
        flops_per_token=trajectory.flops_per_token,
        params_convention=trajectory.accounting.params,
        flops_convention=trajectory.accounting.flops,
        params_with_embeddings=trajectory.params_with_embeddings,
        params_non_embedding=trajectory.params_non_embedding,
        model=trajectory.model,
        recipe=trajectory.recipe,
        batch_tokens=trajectory.batch_tokens,
        seed=trajectory.recipe.seed,
        text=_text(trajectory, tokens),
        mixture=trajectory.recipe.mixture,
        horizons=tuple(_horizon(one, directory) for one in sorted(left, key=lambda one: one.tokens)),
    )


def _horizon(horizon: Horizon, directory: TrajectoryDirectory) -> TaskHorizon:
    return TaskHorizon(
        name=horizon.name,
        tokens=horizon.tokens,
        steps=horizon.steps,
        decay_steps=horizon.decay_steps,
        decay_shape=horizon.decay_shape,
        output=str(directory.output(horizon).absolute()),
    )


def _text(trajectory: Trajectory, tokens: Tokens) -> Text:
    ends = tokens.validation_documents
    return Text(
        train=_file(tokens.train),
        validation=_file(tokens.validation),
        validation_documents=_file(ends),
        validation_bytes=tokens.summary.validation_bytes,
        vocabulary=tokens.summary.vocabulary,
        end_of_document=tokens.summary.end_of_document,
        tokenizer=tokens.record.tokenizer,
        fingerprint=tokens.record.fingerprint,
        domains=tuple(
            TextDomain(
                name=one.name,
                share=one.share,
                train_start=one.train.start,
                train_stop=one.train.stop,
                validation_start=int(ends[one.documents.start]),
                validation_stop=int(ends[one.documents.stop]),
            )
            for one in domains_of(tokens.record, trajectory.recipe.mixture)
        ),
    )


def _file(array: NDArray[Any]) -> TokenFile:
    assert isinstance(array, np.memmap), "tokens of a run directory are mapped"
    return TokenFile(
        file=str(Path(str(array.filename)).absolute()), dtype=array.dtype.name, count=array.size, offset=array.offset
    )
