"""`mainstay keys` and `mainstay audit`, over a project in a temporary folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner, Result

from mainstay.cli.main import app
from mainstay.models import own
from mainstay.serve import keys as kept
from mainstay.starter import example
from mainstay.testing.models import make_bundle


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    example.write(tmp_path / "pumps")
    return tmp_path / "pumps"


def entries(project: Path) -> list[tuple[str, str]]:
    found = json.loads(run("audit", "-C", str(project), "--json").stdout)["entries"]
    return [(entry["what"], entry["subject"]) for entry in found]


def test_a_key_is_printed_once_kept_as_a_hash_and_written_into_the_audit(project: Path) -> None:
    scopes = ("--scope", "predict", "--scope", "feedback")
    added = run("keys", "add", "shop", *scopes, "--rate", "600/m", "-C", str(project))
    key = added.stdout.strip()
    assert not kept.is_cut_off(key)
    assert key.startswith("mst_")
    (known,) = kept.read(project / ".mainstay" / "run")
    assert (known.name, known.hash) == ("shop", kept.hash_of(key))
    assert (known.scopes, known.rate) == (["feedback", "predict"], 10)
    listed = run("keys", "list", "-C", str(project)).stdout
    assert "shop" in listed
    assert "10/s" in listed
    assert key not in listed
    everything = b"".join(path.read_bytes() for path in (project / ".mainstay").rglob("*") if path.is_file())
    assert key.encode() not in everything
    assert entries(project) == [("key added", "shop")]


def test_rotating_and_revoking_are_written_down_with_who_did_it(project: Path) -> None:
    run("keys", "add", "shop", "--scope", "read", "--expires", "90d", "-C", str(project))
    rotated = run("keys", "rotate", "shop", "--grace", "0s", "-C", str(project), "--json")
    assert set(json.loads(rotated.stdout)) == {"name", "key"}
    revoked = json.loads(run("keys", "revoke", "shop", "-C", str(project), "--json").stdout)
    assert revoked == {"name": "shop", "revoked": 1}
    assert run("keys", "rotate", "shop", "-C", str(project)).exit_code == 2
    shown = json.loads(run("audit", "-C", str(project), "--json").stdout)["entries"]
    assert [entry["what"] for entry in shown] == ["key revoked", "key rotated", "key added"]
    assert all(entry["who"] for entry in shown)
    assert run("audit", "--since", "1d", "-C", str(project)).exit_code == 0
    assert json.loads(run("audit", "--since", "2099-01-01", "-C", str(project), "--json").stdout)["entries"] == []


def test_what_was_not_done_is_not_in_the_audit(project: Path) -> None:
    for wrong in (
        ("revoke", "nobody"),
        ("add", "shop", "--scope", "everything"),
        ("add", "shop", "--scope", "read", "--rate", "fast"),
        ("add", "shop", "--scope", "read", "--expires", "soon"),
        ("add", "a b", "--scope", "read"),
    ):
        assert run("keys", *wrong, "-C", str(project)).exit_code == 2
    assert entries(project) == []


def test_an_audit_that_was_changed_is_told_with_its_exit_code(project: Path) -> None:
    run("keys", "add", "shop", "--scope", "read", "-C", str(project))
    with create_engine(f"sqlite:///{project / '.mainstay' / 'store.db'}").begin() as tx:
        tx.execute(text("UPDATE audit SET who = 'somebody else'"))
    result = run("audit", "-C", str(project))
    assert result.exit_code == 6
    assert "was changed after it was written" in result.stderr


def test_a_server_that_would_turn_everybody_away_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_SERVE__HOST", "0.0.0.0")
    assert "mainstay keys add" in run("keys", "list", "-C", str(project)).stdout
    findings = json.loads(run("doctor", "-C", str(project), "--json").stdout)["findings"]
    (about,) = [one for one in findings if one["check"] == "api keys"]
    assert about["severity"] == "fail"
    assert "mainstay keys add" in about["remedy"]
    monkeypatch.setenv("MAINSTAY_API_KEYS", f"app:predict:{kept.new_key()}")
    assert "whoever is on this machine" in run("keys", "list", "-C", str(project)).stdout


def test_trust_signs_the_bundles_of_a_copied_project_and_says_so_in_the_audit(project: Path) -> None:
    state = project / ".mainstay"
    assert run("audit", "-C", str(project)).exit_code == 0  # makes the store, and looks for bundles from before
    made = make_bundle(state / "bundles")
    (state / "carried.key").unlink()  # a copy made elsewhere has another key
    assert not own.is_signed(state, made.digest)
    result = run("trust", "-C", str(project), "--json")
    assert json.loads(result.stdout) == {"signed": [f"bundle {made.digest[:12]}"]}
    assert own.is_signed(state, made.digest)
    assert [what for what, _ in entries(project)] == ["code trusted"]
