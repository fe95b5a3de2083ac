from __future__ import annotations

import pickle
import subprocess
import sys
from types import ModuleType

import pytest
from sklearn.feature_extraction.text import CountVectorizer

from mainstay.core.errors import ProjectFileError
from mainstay.models import pickles

SOURCE = """
import re
KNOWN = {"alpha", "beta", "gamma", "delta", "epsilon"}

class Thing:
    limits = frozenset({"one", "two", "three", "four"})

    def __init__(self):
        self.words = set(KNOWN)

    def __call__(self, text):
        return text in {"left", "right", "up", "down"} or helper(text)

def helper(text):
    return bool(re.match("x", text)) and text not in KNOWN
"""
CHILD = """
import hashlib, sys
from types import ModuleType
from mainstay.models import pickles
module = ModuleType("own"); sys.modules["own"] = module
exec(compile({source!r}, "own.py", "exec"), module.__dict__)
print(hashlib.sha256(pickles.dump(module.Thing(), own_modules=[module])).hexdigest())
"""


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("own")
    monkeypatch.setitem(sys.modules, "own", module)
    exec(compile(SOURCE, "own.py", "exec"), module.__dict__)
    return module


def test_the_projects_own_classes_travel_by_value(own: ModuleType) -> None:
    data = pickles.dump(own.Thing(), own_modules=[own])
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import pickle,sys; t=pickle.load(sys.stdin.buffer); print(t('up'), t('x'), len(t.words))",
        ],
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.stdout.decode().split() == ["True", "True", "5"], done.stderr.decode()


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    digests = set()
    for seed in ("0", "1", "2"):
        environ = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", CHILD.format(source=SOURCE)],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1


VECTORIZER = """
import hashlib, os
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import make_union
from mainstay.models import pickles
room = [bytearray(int.from_bytes(os.urandom(2), "big")) for _ in range(50)]
union = make_union(CountVectorizer(stop_words=["the"]), TfidfVectorizer()).fit(["the red fox", "a blue bird"])
print(hashlib.sha256(pickles.dump(union)).hexdigest())
"""


def test_bytes_hold_no_address_of_the_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", VECTORIZER],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(3)
    }
    assert len(digests) == 1


def test_a_vectorizer_without_its_address_reads_as_before() -> None:
    fitted = CountVectorizer(stop_words=["the"]).fit(["the red fox", "a blue bird"])
    again = pickle.loads(pickles.dump(fitted))
    assert (again.transform(["the red bird"]) != fitted.transform(["the red bird"])).nnz == 0
    assert hasattr(fitted, "_stop_words_id")  # the user's own object stays as it was


def test_sets_come_back_as_they_were() -> None:
    value = {"a": {3, 1, 2}, "b": frozenset({"x", ("y", 1)}), "c": [set(), frozenset()]}
    assert pickle.loads(pickles.dump(value)) == value


def test_what_cannot_be_saved_is_told_as_the_projects_error() -> None:
    with pytest.raises(ProjectFileError, match="cannot be saved"):
        pickles.dump({"generator": (n for n in range(3))})


def test_a_library_is_locked_by_the_name_that_installs_it() -> None:
    from importlib import metadata

    xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
    from mainstay.models import environment

    model = xgboost.XGBClassifier(n_estimators=2).fit([[0.0], [1.0]], [0, 1])
    name = metadata.packages_distributions()["xgboost"][0]
    assert f"{name}=={metadata.version(name)}" in environment.lock_lines(pickles.dump(model))
