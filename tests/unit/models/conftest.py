"""A small fitted text model and its contract."""

from __future__ import annotations

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.core.profiles import Profile
from mainstay.models import pickles
from mainstay.models.bundle import BundleParts
from mainstay.models.inputs import InputSpec
from mainstay.models.signals import word_set
from mainstay.models.thresholds import Thresholds

TEXTS = {
    "fruit": ["ripe apple pie", "green apple", "a sweet pear", "pear and plum", "plum jam"],
    "tool": ["claw hammer", "steel hammer head", "a rusty nail", "nail and saw", "saw blade"],
}


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract(
        task=Task.BINARY,
        fields=(
            Field(name="text", type=FieldType.TEXT),
            Field(name="shop", type=FieldType.CATEGORY, values=("north", "south"), roles=(Role.SEGMENT,)),
            Field(name="weight", type=FieldType.NUMBER, required=False, roles=(Role.SEGMENT,), bins=(0, 2, 10)),
            Field(name="fresh", type=FieldType.BOOLEAN, required=False),
            Field(name="buyer", type=FieldType.IDENTIFIER),
        ),
        target="kind",
        classes=("tool", "fruit"),
        key="buyer",
    )


@pytest.fixture(scope="session")
def estimator() -> object:
    texts = [text for found in TEXTS.values() for text in found]
    truth = [kind for kind, found in TEXTS.items() for _ in found]
    return make_pipeline(CountVectorizer(), LogisticRegression(C=10)).fit(texts, truth)


@pytest.fixture(scope="session")
def parts(contract: Contract, estimator: object) -> BundleParts:
    return BundleParts(
        pickle=pickles.dump(estimator),
        contract=contract,
        profile=Profile(source="none", rows=0, keys=0, signals=[]),
        classes=contract.classes,
        spec=InputSpec(input="text"),
        thresholds=Thresholds(low_unseen_share=0.5, low_confidence=0.4, abstain_confidence=0.2),
        vocabulary={"text": word_set(text for found in TEXTS.values() for text in found)},
        lineage={"train": "abc"},
    )
