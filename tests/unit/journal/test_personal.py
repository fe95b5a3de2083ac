"""What may be written down, and the salt."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mainstay.core.contracts import Pii
from mainstay.core.errors import Damaged, UsageError
from mainstay.journal.personal import Hasher, compile_journal_copy, read_or_make_salt, why
from mainstay.journal.vault import TAG, Vault, subject_of
from mainstay.testing.models import make_contract


def with_pii(pii: Pii) -> object:
    contract = make_contract()
    return replace(
        contract, fields=tuple(replace(f, pii=pii if f.name == "text" else Pii.KEEP) for f in contract.fields)
    )


def test_fields_are_kept_hashed_or_dropped_as_declared() -> None:
    hasher = Hasher("salt")
    values = {"text": "hello", "place": None}
    assert compile_journal_copy(with_pii(Pii.KEEP), hasher)(values) == values  # type: ignore[arg-type]
    assert compile_journal_copy(with_pii(Pii.DROP), hasher)(values) == {"place": None}  # type: ignore[arg-type]
    hashed = compile_journal_copy(with_pii(Pii.HASH), hasher)(values)  # type: ignore[arg-type]
    assert hashed == {"text": hasher.key_hash("hello"), "place": None}
    assert values["text"] == "hello"


def test_encrypted_fields_are_sealed_under_the_key_of_the_row_and_left_out_where_it_names_nobody(
    tmp_path: Path,
) -> None:
    hasher, vault = Hasher("salt"), Vault.of(tmp_path, "weather")
    contract = replace(with_pii(Pii.ENCRYPT), key="place")  # type: ignore[type-var]
    copy = compile_journal_copy(contract, hasher, vault)  # type: ignore[arg-type]
    kept = copy({"text": "hello", "place": "north"})
    assert kept["place"] == "north"
    assert subject_of(kept["text"][TAG]) == hasher.key_hash("north")
    assert vault.open("text", kept["text"][TAG]) == "hello"
    assert copy({"text": "hello", "place": None}) == {"text": None, "place": None}
    assert copy({"text": None, "place": "north"}) == {"text": None, "place": "north"}


def test_nothing_is_encrypted_without_a_key_field_or_a_vault(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no vault"):
        compile_journal_copy(with_pii(Pii.ENCRYPT), Hasher("salt"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no key field"):
        compile_journal_copy(
            replace(with_pii(Pii.ENCRYPT), key=None),  # type: ignore[type-var]
            Hasher("salt"),
            Vault.of(tmp_path, "weather"),
        )


def test_what_a_model_raises_is_told_without_its_text_where_that_could_quote_a_person() -> None:
    error = ValueError("could not convert string to float: 'Anna'")
    assert why(error, with_pii(Pii.KEEP)) == "ValueError: could not convert string to float: 'Anna'"  # type: ignore[arg-type]
    for pii in (Pii.HASH, Pii.DROP, Pii.ENCRYPT):
        assert why(error, with_pii(pii)) == "ValueError (its text may quote a personal field)"  # type: ignore[arg-type]


def test_units_do_not_depend_on_the_order_of_fields_but_on_key_inputs_and_salt() -> None:
    hasher = Hasher("salt")
    unit = hasher.unit("k", {"a": 1, "b": "x"})
    assert unit == hasher.unit("k", {"b": "x", "a": 1})
    assert (
        len(
            {
                unit,
                hasher.unit("l", {"a": 1, "b": "x"}),
                hasher.unit("k", {"a": 2, "b": "x"}),
                Hasher("s").unit("k", {"a": 1, "b": "x"}),
            }
        )
        == 4
    )


def test_processes_that_make_the_salt_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        salts = set(pool.map(lambda _: read_or_make_salt(tmp_path / "deep" / "salt"), range(8)))
    assert len(salts) == 1
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["salt"]
    assert (tmp_path / "deep" / "salt").stat().st_mode & 0o777 == 0o600


def test_a_damaged_salt_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "salt").write_text("short")
    with pytest.raises(Damaged):
        read_or_make_salt(tmp_path / "salt")
