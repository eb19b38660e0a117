"""What a simple grammar says next, told from a window of its text: the filter over the stacks that may lie before it.

The unseen part of a stack is drawn only when the seen part is used up. With n_B expansions of B a document, a
nonterminal A was called as place i of the rule B -> a C_1 .. C_k of probability p with

    probability n_B p / n_A,    and C_i+1 .. C_k follow it, then whatever follows that B

or it is the document itself, with probability 1 / n_A, and the document ends.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

ROOT = -1
"""Above the document there is nothing."""
NEGLIGIBLE = 1e-12
"""A stack less probable than this, given what was read, is dropped."""

Stack = tuple[int, ...]
"""Nonterminals still to be read, the next one first."""
State = tuple[Stack, int]
"""What is known of a stack, and the nonterminal whose followers come next, or ROOT for none."""


@dataclass(frozen=True)
class Rule:
    """One production: with this probability, this symbol, then these nonterminals."""

    probability: float
    symbol: int
    calls: Stack


@dataclass(frozen=True, eq=False)
class StackFilter:
    """K nonterminals, the last of which is the document; each rule of one begins with another symbol."""

    rules: Sequence[Sequence[Rule]]
    expansions: NDArray[np.float64]
    """[K] n_A: how often a document expands each nonterminal."""

    def nats(self, windows: NDArray[np.integer]) -> NDArray[np.float64]:
        """[W, L] -ln p of each token of windows [W, L + 1] but the first, given those before it in the window.

        The largest symbol of any rule + 1 is the end of document.
        """
        found = np.empty((len(windows), windows.shape[1] - 1))
        first: dict[int, tuple[dict[State, float], float]] = {}
        for row, window in enumerate(windows.tolist()):
            if window[0] not in first:
                first[window[0]] = self.read(self.before, window[0])
            states, _ = first[window[0]]
            for step, symbol in enumerate(window[1:]):
                states, probability = self.read(states, symbol)
                found[row, step] = -np.log(probability)
        return found

    @cached_property
    def before(self) -> dict[State, float]:
        """Where a token of the stream finds the stack: at an expansion of A in proportion to n_A, or at the end."""
        tokens = self.expansions.sum() + 1
        at = {((one,), one): float(n / tokens) for one, n in enumerate(self.expansions) if n > 0}
        return at | {((), ROOT): float(1 / tokens)}

    def read(self, states: dict[State, float], symbol: int) -> tuple[dict[State, float], float]:
        """The states after `symbol`, and its probability in the states before it."""
        after: dict[State, float] = defaultdict(float)
        for (known, above), weight in states.items():
            if not known:
                if symbol == self._end:
                    after[(len(self.rules) - 1,), ROOT] += weight
                continue
            rule = self._by_symbol[known[0]].get(symbol)
            if rule is None:
                continue
            left, share = rule.calls + known[1:], weight * rule.probability
            if left or above == ROOT:
                after[left, above] += share
                continue
            for state, probability in self._followers[above].items():
                after[state] += share * probability
        total = sum(after.values())
        if total == 0:
            raise ValueError(f"symbol {symbol} cannot follow: the text is not of this grammar")
        kept = {state: weight / total for state, weight in after.items() if weight > NEGLIGIBLE * total}
        return kept, total

    @cached_property
    def _end(self) -> int:
        return max(rule.symbol for rules in self.rules for rule in rules) + 1

    @cached_property
    def _by_symbol(self) -> list[dict[int, Rule]]:
        return [{rule.symbol: rule for rule in rules} for rules in self.rules]

    @cached_property
    def _followers(self) -> list[dict[State, float]]:
        """[K] what follows an occurrence of each nonterminal: probability of each state.

        Where nothing follows it in its rule, what follows the caller does: F = (1 - T)^-1 R, T[A, B] the probability
        that A is the last call of a B, R the others.
        """
        count = len(self.rules)
        last = np.zeros((count, count))
        direct: list[dict[State, float]] = [defaultdict(float) for _ in range(count)]
        for caller, rules in enumerate(self.rules):
            for rule in rules:
                for place, called in enumerate(rule.calls):
                    weight = float(self.expansions[caller] * rule.probability)
                    if weight == 0:
                        continue
                    weight /= float(self.expansions[called])
                    rest = rule.calls[place + 1 :]
                    if rest:
                        direct[called][rest, caller] += weight
                    else:
                        last[called, caller] += weight

        direct[-1][(), ROOT] += float(1 / self.expansions[-1])
        reached = np.linalg.inv(np.eye(count) - last)
        found: list[dict[State, float]] = []
        for one in range(count):
            states: dict[State, float] = defaultdict(float)
            for other in np.flatnonzero(reached[one]):
                for state, weight in direct[other].items():
                    states[state] += float(reached[one, other]) * weight
            found.append(dict(states))
        return found
