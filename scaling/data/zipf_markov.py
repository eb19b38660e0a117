"""A Zipfian hidden-Markov source: its state is hidden, follows from what it said, and does not change its entropy.

    symbol r of state s    pi_s(r), with probability zipf(r): every state ranks the alphabet in an order of its own
    next state             g(symbol) for most pairs of state and symbol, f(s, symbol) for the share `memory` of them:
                           fixed tables, their entries drawn by Zipf's law over the states
    end of document        with probability 1/T after every symbol; the next document begins in the start state

S states (the start state is the last), V symbols, W windows, L targets a window. NumPy only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.config import SyntheticConfig
from scaling.data.zipf import ALPHABET, entropy, permutations, ranks, zipf

DRAWS = 1 << 16
"""Symbols drawn at a time."""


@dataclass(frozen=True, eq=False)
class ZipfMarkov:
    """The source that `settings` describe."""

    settings: SyntheticConfig

    @cached_property
    def symbol_of(self) -> NDArray[np.int64]:
        """[S, V] rank -> symbol."""
        return permutations(self._generator("symbols"), self.settings.states + 1, self.settings.symbols)

    @cached_property
    def next_state(self) -> NDArray[np.int64]:
        """[S, V] symbol -> next state."""
        states, symbols = self.settings.states, self.settings.symbols
        generator, law = self._generator("states"), zipf(states, self.settings.exponent)
        remembering = generator.random((states + 1, symbols)) < self.settings.memory
        of_both = ranks(generator, law, (states + 1) * symbols).reshape(states + 1, symbols)
        return np.where(remembering, of_both, ranks(generator, law, symbols))

    @property
    def ending(self) -> float:
        """1/T: probability that a document ends after a symbol."""
        return 1 / self.settings.document_tokens

    @property
    def entropy_rate(self) -> float:
        """Nats a token, the end of document being one, given all that came before:

            h = T (H(zipf) + H(1/T)) / (T + 1)

        A document has T symbols on average, each H(zipf) in whatever state, and after each the question whether it
        ends. The state is a function of the past, so that nothing is lost by its being hidden (a unifilar source:
        Shannon 1948, theorem 5; Travers and Crutchfield 2011).
        """
        length = self.settings.document_tokens
        symbols = entropy(zipf(self.settings.symbols, self.settings.exponent))
        return length * (symbols + entropy(np.array([self.ending, 1 - self.ending]))) / (length + 1)

    def documents(self) -> Iterator[str]:
        """Documents without end, the same ones at every call."""
        generator = self._generator("text")
        law = zipf(self.settings.symbols, self.settings.exponent)
        symbol_of, next_state, alphabet = self.symbol_of.tolist(), self.next_state.tolist(), self.alphabet
        start = self.settings.states
        state = start
        text: list[str] = []
        while True:
            drawn = ranks(generator, law, DRAWS).tolist()
            ends = (generator.random(DRAWS) < self.ending).tolist()
            for rank, end in zip(drawn, ends, strict=True):
                symbol = symbol_of[state][rank]
                text.append(alphabet[symbol])
                state = next_state[state][symbol]
                if end:
                    yield "".join(text)
                    state, text = start, []

    @cached_property
    def emission(self) -> NDArray[np.float64]:
        """[S, V + 1] probability of each symbol, and of the end of document, in each state."""
        states, symbols = self.symbol_of.shape
        said = np.zeros((states, symbols + 1))
        np.put_along_axis(said, self.symbol_of, zipf(symbols, self.settings.exponent)[None, :], axis=1)
        said[:-1] *= 1 - self.ending  # a document is not empty: the start state does not end
        said[:-1, -1] = self.ending
        return said

    @cached_property
    def transition(self) -> NDArray[np.int64]:
        """[S, V + 1] the state after each symbol, and after the end of document."""
        start = np.full((len(self.next_state), 1), self.settings.states)
        return np.concatenate([self.next_state, start], axis=1)

    @cached_property
    def stationary(self) -> NDArray[np.float64]:
        """[S] how often the stream is in each state: p = p P, sum p = 1."""
        states = len(self.emission)
        moves = np.zeros((states, states))
        np.add.at(moves, (np.arange(states)[:, None], self.transition), self.emission)
        equations = np.concatenate([moves.T - np.eye(states), np.ones((1, states))])
        found = np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0]
        return np.maximum(found, 0) / np.maximum(found, 0).sum()

    def nats(self, windows: NDArray[np.integer]) -> NDArray[np.float64]:
        """[W, L] -ln p of each token of windows [W, L + 1] but the first, given those before it in the window.

        The forward algorithm from the stationary state: nobody who sees the window alone can expect to do better.
        Symbols are numbers below V; V is the end of document.
        """
        rows, states = len(windows), len(self.emission)
        belief = np.broadcast_to(self.stationary, (rows, states))
        found = np.empty(windows.shape)
        places = np.arange(rows)[:, None] * states
        for step in range(windows.shape[1]):
            said = windows[:, step]
            joint = belief * self.emission[:, said].T
            probability = joint.sum(axis=1)
            found[:, step] = -np.log(probability)
            after = (places + self.transition[:, said].T).ravel()
            moved = np.bincount(after, weights=joint.ravel(), minlength=rows * states)
            belief = moved.reshape(rows, states) / probability[:, None]
        return found[:, 1:]

    @property
    def alphabet(self) -> str:
        """Symbol -> character."""
        return ALPHABET[: self.settings.symbols]

    def _generator(self, what: str) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *what.encode()])
