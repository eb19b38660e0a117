"""Bytes there and back; the identity says what decides the tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.config import DataConfig
from scaling.data.tokenizers import ByteTokenizer, tokenizer_for


@given(st.text())
def test_decode_undoes_encode(text: str) -> None:
    tokenizer = ByteTokenizer()
    tokens = tokenizer.encode(text)
    assert tokens.tolist() == list(text.encode("utf-8"))
    assert tokenizer.decode(tokens) == text


def test_end_of_document_is_no_byte_and_is_left_out_of_text() -> None:
    tokenizer = tokenizer_for(DataConfig())
    assert (tokenizer.vocabulary, tokenizer.end_of_document) == (257, 256)
    assert tokenizer.decode(np.array([104, 256, 105], np.uint16)) == "hi"


def test_a_window_may_cut_a_character() -> None:
    assert ByteTokenizer().decode(ByteTokenizer().encode("aé")[:-1]) == "a\ufffd"


def test_a_lone_surrogate_has_no_tokens() -> None:
    with pytest.raises(UnicodeEncodeError):
        ByteTokenizer().encode("\ud800")


def test_identity_is_stable() -> None:
    """It enters every trajectory's identity: changing it orphans every run on disk."""
    assert ByteTokenizer().identity == "bytes-cd9b7cb38e10"
