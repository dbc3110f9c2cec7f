"""Ids and receipts."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supersoniq.core.errors import InvalidId, LeaseLost
from supersoniq.core.ids import MARK, MAX_SEQUENCE, Seal, format_id, id_number, parse_id

SECRET = bytes(range(32))
SEAL = Seal(SECRET, 1)
SEQUENCES = st.integers(1, MAX_SEQUENCE)
INSTANTS = st.integers(0, 2**48 - 1)


@given(INSTANTS, SEQUENCES)
def test_an_id_is_a_uuid7_and_leads_to_its_message(created_at: int, sequence: int) -> None:
    number = id_number(created_at, SEAL, sequence)
    text = format_id(number)
    known = uuid.UUID(text)
    assert (known.version, known.variant) == (7, uuid.RFC_4122)
    assert known.int >> 80 == created_at
    assert str(known) == text
    assert parse_id(text) == parse_id(text.upper()) == number
    assert SEAL.sequence_of(number) == sequence
    assert Seal(SECRET, 2).sequence_of(number) is None
    assert Seal(bytes(32), 1).sequence_of(number) is None


@given(st.lists(st.tuples(INSTANTS, SEQUENCES), min_size=2, max_size=20))
def test_ids_sort_as_they_were_published(pairs: list[tuple[int, int]]) -> None:
    instants = sorted(instant for instant, _ in pairs)
    sequences = sorted({sequence for _, sequence in pairs})
    texts = [
        format_id(id_number(instant, SEAL, sequence))
        for instant, sequence in zip(instants, sequences, strict=False)
    ]
    assert texts == sorted(texts)


@pytest.mark.parametrize(
    "text",
    [
        None, 5, b"", "", "x", "01a3185c50007f3e8b6a5e0000000001",
        "01a3185c-5000-4f3e-8b6a-5e0000000001", "01a3185c-5000-7f3e-0b6a-5e0000000001",
        "01a3185c-5000-7f3e-cb6a-5e0000000001", "01a3185c-5000-7f3e-8b6a-5e000000000g",
        "01a3185c-5000-7f3e-8b6a-5e00000000011", " 1a3185c-5000-7f3e-8b6a-5e0000000001",
        "+1a3185c-5000-7f3e-8b6a-5e0000000001", "01a3185c_5000-7f3e-8b6a-5e0000000001",
        "01a3_85c-5000-7f3e-8b6a-5e0000000001", "\u0661" * 8 + "-5000-7f3e-8b6a-5e0000000001",
        "{1a3185c-5000-7f3e-8b6a-5e000000000}",
    ],
)  # fmt: skip
def test_what_is_no_id_is_refused(text: object) -> None:
    with pytest.raises(InvalidId):
        parse_id(text)


@given(
    st.integers(1, 2**32 - 1), st.integers(1, 2**32 - 1), st.integers(1, MAX_SEQUENCE),
    st.integers(0, 2**48 - 1),
)  # fmt: skip
def test_a_receipt_opens_in_its_own_queue_only(
    number: int, term: int, sequence: int, created_at: int
) -> None:
    seal = Seal(SECRET, number)
    receipt = seal.receipt(sequence, term, created_at)
    assert seal.open(receipt) == (sequence, term, created_at & MARK)
    for other in (Seal(SECRET, number + 1), Seal(bytes(32), number)):
        with pytest.raises(LeaseLost):
            other.open(receipt)


@given(st.data())
def test_a_changed_receipt_is_refused(data: st.DataObject) -> None:
    receipt = SEAL.receipt(77, 3)
    place = data.draw(st.integers(0, len(receipt) - 1))
    other = data.draw(st.characters())
    changed = receipt[:place] + other + receipt[place + 1 :]
    if changed != receipt:
        with pytest.raises(LeaseLost):
            SEAL.open(changed)


@given(st.text(max_size=60))
def test_garbage_is_no_receipt(text: str) -> None:
    with pytest.raises(LeaseLost):
        SEAL.open(text)


def test_receipts_differ_in_every_way() -> None:
    seals = [Seal(SECRET, number) for number in range(1, 5)]
    receipts = {seal.receipt(s, t) for seal in seals for s in range(1, 9) for t in range(1, 9)}
    assert len(receipts) == 4 * 8 * 8
