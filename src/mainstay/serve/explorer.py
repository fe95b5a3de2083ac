"""Draw a share of the answers at random, with a propensity for each that is known.

The numbers of a draw are a hash of the request's id, keyed by the project's salt, which no caller knows: the same
request gives the same draw in every worker, after a restart and in a replay, and no caller can choose an id that is
drawn as he likes. Keyed BLAKE2b behaves as a random function of the id, so that draws of different ids are independent
of each other, of the inputs and of the side of a rollout (another salt); docs/decisions/0033.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mainstay.core.events import Explored
from mainstay.core.exploration import LABELS, How, Rule
from mainstay.core.routes import position
from mainstay.stats import exploration
from mainstay.stats.exploration import COIN, Uniform

if TYPE_CHECKING:
    from mainstay.config.settings import Settings
    from mainstay.models.answers import Answer


def rule_of(settings: Settings) -> Rule | None:
    """Return how a project explores, or None where it does not."""
    declared = settings.serve.explore
    if declared.share <= 0.0 or settings.project.elsewhere:
        return None
    default = How.UNIFORM if settings.project.task.is_classification else How.SWAP
    return Rule(
        share=declared.share,
        how=declared.how or default,
        labels=declared.labels,
        temperature=declared.temperature,
        floor=declared.floor,
        top=declared.top,
        hold_back=tuple((name, tuple(values)) for name, values in sorted(declared.hold_back.items())),
    )


def uniforms(salt: str, model: str, id_: str) -> Uniform:
    """Return the numbers of one request by the name of the decision, each in [0, 1)."""

    def number(what: str) -> float:
        return position(f"explore\x1f{salt}\x1f{model}\x1f{what}", id_)

    return number


class Explorer:
    """One model's draws. Holds nothing between requests."""

    def __init__(self, rule: Rule, *, model: str, salt: str) -> None:
        self.rule = rule
        self._model = model
        self._salt = salt
        self.of_labels = rule.how in LABELS

    def of_answer(self, answer: Answer, id_: str) -> Explored | None:
        """Return the draw of a classifier's answer; None where nothing else could be given."""
        rule, own = self.rule, str(answer.label)
        classes = answer.probabilities
        allowed = [name for name in rule.labels if name in classes] if rule.labels else list(classes)
        if not allowed or allowed == [own]:
            return None
        q = exploration.drawn_from(rule.how, allowed, classes, temperature=rule.temperature, floor=rule.floor)
        p = exploration.propensities(own, q, rule.share)
        drawn, given = exploration.draw(own, q, rule.share, uniforms(self._salt, self._model, id_))
        return Explored(
            propensity=p[given],
            propensities=p,
            share=rule.share,
            drawn=drawn,
            label=None if given == own else given,
            how=rule.how.value,
        )

    def of_group(self, model_ranks: Sequence[int], id_: str) -> list[Explored] | None:
        """Return the draw of each candidate of a ranked group, by the places that the model gave them.

        `id_`: of the first candidate. None where there is nothing to be changed.
        """
        rule, n = self.rule, len(model_ranks)
        if n < 2 or (rule.how is How.INSERT and n <= rule.top):
            return None
        uniform = uniforms(self._salt, self._model, id_)
        drawn = uniform(COIN) < rule.share
        order = exploration.order(rule.how, n, rule.top, uniform) if drawn else list(range(1, n + 1))
        shown = {own: place for place, own in enumerate(order, start=1)}
        found = []
        for own in model_ranks:
            p = exploration.places(rule.how, own, n, rule.top, rule.share)
            found.append(
                Explored(
                    propensity=p[shown[own]],
                    propensities={str(place): chance for place, chance in p.items()},
                    share=rule.share,
                    drawn=drawn,
                    how=rule.how.value,
                    rank=shown[own],
                    model_rank=own,
                    group=id_,
                    of=n,
                    top=min(rule.top, n),
                )
            )
        return found


def repeated(explored: Explored, label: Any, numbers: Uniform) -> bool:
    """Return whether a recorded draw comes out again; `label` is what the model said."""
    if explored.rank:
        drawn = numbers(COIN) < explored.share
        places = list(range(1, explored.of + 1))
        shown = exploration.order(How(explored.how), explored.of, explored.top, numbers) if drawn else places
        return drawn == explored.drawn and shown[explored.rank - 1] == explored.model_rank
    drawn, given = exploration.redrawn(str(label), explored.propensities, explored.share, numbers)
    return drawn == explored.drawn and given == (label if explored.label is None else explored.label)
