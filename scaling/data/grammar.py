"""A probabilistic context-free grammar that can be read in one way only, so that its entropy has a closed form.

    document  ->  "(" sentence document    with probability 1 - 1/k
               |  "."                      otherwise: k - 1 sentences on average
    A         ->  a, a B, or a B C         R rules for each A, by Zipf's law; their symbols are drawn from the alphabet

Every rule of A begins with another symbol (a simple grammar: Korenjak and Hopcroft 1966), so a text has one derivation,
and what is expected next (a stack of nonterminals) follows from the text before. A rule's rank says how many
nonterminals it calls, which are drawn by Zipf's law: BRANCHING on average, the same for every A.

K nonterminals (the document is the last), V symbols and the two marks, R = V / 4 rules (at least 2), W windows,
L targets a window. NumPy only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.config import SyntheticConfig
from scaling.data.stacks import Rule, StackFilter
from scaling.data.zipf import ALPHABET, entropy, permutations, ranks, zipf

BRANCHING = 0.8
"""Nonterminals that a rule calls, on average: a sentence has about 1 / (1 - BRANCHING) symbols."""
MARKS = "(."
ALPHABET_OF_WORDS = "".join(character for character in ALPHABET if character not in MARKS)
DRAWS = 1 << 16
"""Rules drawn at a time."""


@dataclass(frozen=True, eq=False)
class Grammar:
    """The source that `settings` describe."""

    settings: SyntheticConfig

    @cached_property
    def rules(self) -> tuple[tuple[Rule, ...], ...]:
        """[K] the rules of each nonterminal, by rank."""
        states, symbols = self.settings.states, self.settings.symbols
        law, sizes = self._law, self._sizes()
        order = permutations(self._generator("symbols"), states, symbols)
        called = ranks(self._generator("calls"), zipf(states, self.settings.exponent), states * len(law) * 2)
        calls = called.reshape(states, len(law), 2)
        made = [
            tuple(
                Rule(float(law[rank]), int(order[one, rank]), tuple(calls[one, rank, : sizes[rank]].tolist()))
                for rank in range(len(law))
            )
            for one in range(states)
        ]
        return (*made, (Rule(1 - self.ending, symbols, (0, states)), Rule(self.ending, symbols + 1, ())))

    @property
    def ending(self) -> float:
        """1/k, such that a document has settings.document_tokens tokens: (k - 1) (1 + sentence) + 1."""
        return 1 / (1 + (self.settings.document_tokens - 1) / (1 + self._sentence))

    @cached_property
    def _sentence(self) -> float:
        """Expected symbols of a sentence: every nonterminal calls equally many on average."""
        return 1 / (1 - float(self._law @ np.array(self._sizes())))

    @property
    def _law(self) -> NDArray[np.float64]:
        """[R] probability of a rule, by rank."""
        return zipf(max(2, self.settings.symbols // 4), self.settings.exponent)

    def _sizes(self) -> list[int]:
        """[R] how many nonterminals a rule of each rank calls: 0 to 2, such that the mean stays near BRANCHING."""
        sizes, owed = [], 0.0
        for probability in self._law:
            owed += BRANCHING * probability
            sizes.append(int(np.clip(owed // probability, 0, 2)))
            owed -= sizes[-1] * probability
        return sizes

    @cached_property
    def expansions(self) -> NDArray[np.float64]:
        """[K] how often a document expands each nonterminal: n = start + n M, M[A, B] the Bs that A calls."""
        calls = np.zeros((len(self.rules), len(self.rules)))
        for one, rules in enumerate(self.rules):
            for rule in rules:
                np.add.at(calls[one], list(rule.calls), rule.probability)
        start = np.zeros(len(self.rules))
        start[-1] = 1
        return np.asarray(np.linalg.solve(np.eye(len(calls)) - calls.T, start), dtype=np.float64)

    @property
    def entropy_rate(self) -> float:
        """Nats a token, the end of document being one, given all that came before:

            h = sum_A n_A H(rules of A) / (sum_A n_A + 1)

        n_A expansions of A a document, each of which says one symbol; the end of document follows from the rest. The
        derivational entropy (Grenander 1967; Chi 1999) is that of the text, as a text has one derivation.
        """
        choices = [entropy(np.array([rule.probability for rule in rules])) for rules in self.rules]
        return float(self.expansions @ choices / (self.expansions.sum() + 1))

    def documents(self) -> Iterator[str]:
        """Documents without end, the same ones at every call."""
        generator = self._generator("text")
        document = len(self.rules) - 1
        by_rank = [[(self.alphabet[rule.symbol], rule.calls[::-1]) for rule in rules] for rules in self.rules]
        stack: list[int] = [document]
        text: list[str] = []
        while True:
            drawn = ranks(generator, self._law, DRAWS).tolist()
            ends = (generator.random(DRAWS) < self.ending).tolist()
            for rank, end in zip(drawn, ends, strict=True):
                top = stack.pop()
                letter, calls = by_rank[top][end if top == document else rank]
                text.append(letter)
                stack += calls
                if not stack:
                    yield "".join(text)
                    stack, text = [document], []

    def nats(self, windows: NDArray[np.integer]) -> NDArray[np.float64]:
        """[W, L] -ln p of each token of windows [W, L + 1] but the first, given those before it in the window.

        Of all stacks that the window may begin with: nobody who sees the window alone can expect to do better.
        Symbols are numbers below V, V and V + 1 the marks "(" and ".", V + 2 the end of document.
        """
        return StackFilter(self.rules, self.expansions).nats(windows)

    @property
    def alphabet(self) -> str:
        """Symbol -> character."""
        return ALPHABET_OF_WORDS[: self.settings.symbols] + MARKS

    def _generator(self, what: str) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *what.encode()])
