"""The columns that laws are functions of, and the letters that people write for them."""

SYMBOLS = {
    "params": "N",
    "tokens": "D",
    "flops": "C",
    "tokens_per_param": "M",
    "unique_tokens": "U",
    "loss": "L",
    "forward_area": "S1",
    "annealing_area": "S2",
}
"""Column -> symbol. A form may use any other column; its symbol is its name."""


def symbol(column: str) -> str:
    """How people write the column."""
    return SYMBOLS.get(column, column)
