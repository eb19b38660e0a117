"""A small GPT in plain PyTorch, trained as a task file says: it imports nothing of the laboratory.

The trunk runs at a constant rate; at each horizon a copy of it is annealed, measured on the held-out text and thrown
away. The trunk is checkpointed at each fork, now and then, and when SIGTERM comes.
"""

import copy
import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CHECKPOINT_SECONDS = 30.0
RESUME = 75
EVALUATION_SEQUENCES = 64


class Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Logits [B, T, V] of token ids [B, T]; the head is the embedding's transpose."""

    def __init__(self, model: dict):
        super().__init__()
        width = model["width"]
        self.tokens = nn.Embedding(model["vocabulary"], width)
        self.positions = nn.Embedding(model["sequence_length"], width)
        self.blocks = nn.ModuleList(Block(width, model["heads"], model["ffn_width"]) for _ in range(model["layers"]))
        self.norm = nn.RMSNorm(width)
        for value in self.parameters():
            if value.dim() == 2:
                nn.init.normal_(value, std=1 / math.sqrt(value.shape[1]))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


class Run:
    """One task: the model and its optimiser at some step of the trunk."""

    def __init__(self, task: dict):
        self.task, self.recipe = task, task["recipe"]
        self.length = task["model"]["sequence_length"]
        text = task["text"]
        self.train, self.validation, self.documents = (
            np.memmap(one["file"], one["dtype"], "r", one["offset"], (one["count"],))
            for one in (text["train"], text["validation"], text["validation_documents"])
        )
        torch.manual_seed(task["seed"])
        self.model = GPT(task["model"])
        self.optimizer = self.new_optimizer(self.model)
        self.step = 0
        self.file = Path(task["checkpoints"]) / "trunk.pt"
        self.saved = time.monotonic()

    def new_optimizer(self, model: GPT) -> torch.optim.Optimizer:
        matrices = [one for one in model.parameters() if one.dim() == 2]
        others = [one for one in model.parameters() if one.dim() != 2]
        groups = [
            {"params": matrices, "weight_decay": self.recipe["weight_decay"]},
            {"params": others, "weight_decay": 0.0},
        ]
        betas = (self.recipe["beta1"], self.recipe["beta2"])
        return torch.optim.AdamW(groups, betas=betas, eps=self.recipe["epsilon"], fused=True)

    def batch(self, step: int) -> torch.Tensor:
        """[B, T + 1], a function of the seed and the step alone, so that a resumed run sees the same."""
        random = np.random.default_rng([self.task["seed"], step])
        starts = random.integers(0, len(self.train) - self.length - 1, self.recipe["sequences"])
        return torch.from_numpy(np.stack([self.train[at : at + self.length + 1] for at in starts]).astype(np.int64))

    def update(self, model: GPT, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
        ids = self.batch(step)
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), self.recipe["gradient_clip"])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        return loss.item()

    def trunk(self, until: int) -> None:
        warmup = max(1.0, self.recipe["warmup_tokens"] / self.task["batch_tokens"])
        while self.step < until:
            rate = self.recipe["learning_rate"] * min(1.0, (self.step + 1) / warmup)
            loss = self.update(self.model, self.optimizer, self.step, rate)
            if not loss <= self.recipe["divergence_factor"] * math.log(self.task["model"]["vocabulary"]):
                raise Diverged(self.step)
            self.step += 1
            if asked.is_set() or time.monotonic() - self.saved > CHECKPOINT_SECONDS:
                self.save()
            if asked.is_set():
                sys.exit(RESUME)

    def anneal(self, horizon: dict) -> dict:
        """The trunk's copy, its rate falling to final_rate over decay_steps, measured."""
        model = copy.deepcopy(self.model)
        optimizer = self.new_optimizer(model)
        optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        count, losses = horizon["decay_steps"], []
        for done in range(count):
            share = (done + 1) / count
            fall = 1 - math.sqrt(share) if horizon["decay_shape"] == "1-sqrt" else 1 - share
            rate = self.recipe["learning_rate"] * (self.recipe["final_rate"] + (1 - self.recipe["final_rate"]) * fall)
            losses.append(self.update(model, optimizer, self.step + done, rate))
            if asked.is_set():
                sys.exit(RESUME)  # the trunk's checkpoint at the fork is there
        tail = losses[-max(1, count // 10) :]
        return {**self.evaluated(model), "train_loss": sum(tail) / len(tail)}

    @torch.no_grad()
    def evaluated(self, model: GPT) -> dict:
        """Mean loss over the held-out text, and its standard error over documents."""
        windows = (len(self.validation) - 1) // self.length
        ids = torch.from_numpy(self.validation[: windows * self.length + 1].astype(np.int64))
        inputs, targets = ids[:-1].view(windows, -1), ids[1:].view(windows, -1)
        nats = [
            F.cross_entropy(model(some).flatten(0, 1), those.flatten(), reduction="none")
            for some, those in zip(inputs.split(EVALUATION_SEQUENCES), targets.split(EVALUATION_SEQUENCES), strict=True)
        ]
        each = torch.cat(nats).double().numpy()
        document = np.searchsorted(self.documents, np.arange(1, len(each) + 1), side="right") - 1
        sums, counts = np.bincount(document, each), np.bincount(document)
        mean = each.mean()
        error = math.sqrt(((sums - mean * counts) ** 2).sum()) / len(each)
        nats_of_all = mean * len(self.validation)
        bits = nats_of_all / math.log(2) / self.task["text"]["validation_bytes"]
        return {"loss": float(mean), "loss_se": error, "bits_per_byte": float(bits)}

    def save(self) -> None:
        state = {"step": self.step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        temporary = self.file.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.file)
        self.saved = time.monotonic()

    def restore(self, at_most: int) -> None:
        """Take up the trunk where it was left, unless that is beyond the first fork that is left."""
        if not self.file.exists():
            return
        state = torch.load(self.file)
        if state["step"] <= at_most:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]


class Diverged(Exception):
    pass


asked = threading.Event()
"""Whether SIGTERM came."""


def write(horizon: dict, result: dict) -> None:
    """Whole or not at all."""
    output = Path(horizon["output"])
    temporary = output.with_suffix(".tmp")
    temporary.write_text(json.dumps(result))
    os.replace(temporary, output)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    task = json.loads(Path(sys.argv[-1]).read_text())
    assert task["schema_version"] == 1, task["schema_version"]
    run = Run(task)
    params = sum(one.numel() for one in run.model.parameters())
    assert params == task["params_with_embeddings"], f"{params} parameters, {task['params_with_embeddings']} planned"
    horizons = sorted(task["horizons"], key=lambda one: one["steps"] - one["decay_steps"])
    run.restore(horizons[0]["steps"] - horizons[0]["decay_steps"])
    for horizon in horizons:
        try:
            run.trunk(horizon["steps"] - horizon["decay_steps"])
            run.save()
            result = run.anneal(horizon)
        except Diverged as diverged:
            write(horizon, {"diverged": True, "step": diverged.args[0]})
            return
        write(horizon, result)
        print(f"{task['id']}: D {horizon['tokens']:,}, loss {result['loss']:.4f}", flush=True)


main()
