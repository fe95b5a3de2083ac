"""What the watch may keep of encrypted fields: measures, never values."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from mainstay.core.contracts import Pii
from mainstay.watch.window import observe


def encrypted(desk):
    contract = desk.reference.contract
    return replace(contract, fields=tuple(replace(f, pii=Pii.ENCRYPT) for f in contract.fields))


def test_an_encrypted_text_gives_its_measures_and_no_word_and_other_fields_whether_they_are_missing(desk, calm) -> None:
    event = msgspec.structs.replace(
        desk.make(calm, 1)[0], inputs={"note": "The yo box", "region": "north", "size": 3.25}, label="a"
    )
    seen = observe(event, desk.reference.signals, encrypted(desk))
    told = {name for name in seen.signals if not name.startswith("answer.")}
    assert {"note.unseen", "note.length", "size.missing"} <= told
    assert not {"note", "region", "size"} & told
    assert (seen.segments, seen.words) == ([], {})
    held = msgspec.json.encode(seen)
    assert not any(value in held for value in (b"yo", b"north", b"3.25"))


def test_a_value_that_was_erased_gives_nothing_and_is_not_taken_for_missing(desk, calm) -> None:
    gone = {"enc": "AQ=="}
    event = msgspec.structs.replace(desk.make(calm, 1)[0], inputs={"note": gone, "region": "north", "size": gone})
    seen = observe(event, desk.reference.signals, encrypted(desk))
    assert not {name for name in seen.signals if name.startswith(("note", "size"))}
