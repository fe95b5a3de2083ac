"""What can be done on the pages: the same acts as the commands', each with who and why in the audit."""

from __future__ import annotations

from collections.abc import Callable

from mainstay.api.keys import Scope
from mainstay.core import errors
from mainstay.core.incidents import State
from mainstay.store.reviews import MarkKind
from mainstay.web import links
from mainstay.web.looks import Act, Form, Look

USUAL_DRAW = 50
MOST_DRAWN = 5_000


def _number(look: Look) -> int:
    return look.number("subject")


def _moved(to: State) -> Callable[[Look, Form], str]:
    def do(look: Look, form: Form) -> str:
        number = _number(look)
        look.room.move_incident(number, to, by=form.by, note=form.reason)
        return links.incident(look.model, number)

    return do


def _marked(*, useful: bool) -> Callable[[Look, Form], str]:
    def do(look: Look, form: Form) -> str:
        number = _number(look)
        look.room.mark_incident(number, useful=useful, by=form.by, note=form.reason)
        return links.incident(look.model, number)

    return do


def _noted(look: Look, form: Form) -> str:
    number = _number(look)
    if not form.reason.strip():
        raise errors.UsageError("the note is empty", remedy="Write a sentence that a colleague understands.")
    look.room.note_incident(number, by=form.by, note=form.reason)
    return links.incident(look.model, number)


def _promoted(look: Look, form: Form) -> str:
    look.room.promote(_number(look), reason=form.reason, by=form.by, evidence=form.fields.get("evidence", ""))
    return links.model(look.model, "rollout")


def _held(look: Look, form: Form) -> str:
    _must_be_on_its_way(look)
    look.room.hold(reason=form.reason, by=form.by)
    return links.model(look.model, "rollout")


def _resumed(look: Look, form: Form) -> str:
    _must_be_on_its_way(look)
    look.room.resume(reason=form.reason, by=form.by, evidence=form.fields.get("evidence", ""))
    return links.model(look.model, "rollout")


def _must_be_on_its_way(look: Look) -> None:
    way = look.room.status().rollout
    if way is None or way.version != _number(look):
        raise errors.StaleTransition(
            "it is not on its way any more, so nothing was done", remedy="See the rollout's page."
        )


def _aborted(look: Look, form: Form) -> str:
    way = look.room.status().rollout
    if way is None or way.version != _number(look):
        raise errors.StaleTransition(
            "it is not on its way any more, so nothing was done", remedy="See the rollout's page."
        )
    look.room.abort(reason=form.reason, by=form.by)
    return links.model(look.model, "rollout")


def _rolled_back(look: Look, form: Form) -> str:
    """Roll back to where the page said that the way leads, or not at all: it may lead elsewhere meanwhile."""
    who = look.room.status().answering
    if who is None or who.previous != look.params["subject"]:
        raise errors.StaleTransition(
            f"the way back leads to {who.previous if who and who.previous else 'nobody'} now, so nothing was done",
            remedy="See the rollout's page.",
        )
    look.room.rollback(reason=form.reason, by=form.by)
    return links.model(look.model, "rollout")


def _returned(look: Look, form: Form) -> str:
    look.room.rollback(reason=form.reason, by=form.by, to=_number(look))
    return links.model(look.model, "rollout")


def _tried_again(look: Look, form: Form) -> str:
    look.room.replay_letters(look.params["subject"], by=form.by)
    return links.model(look.model, "data")


def _drilled(look: Look, form: Form) -> str:
    look.room.start_drill(look.params["subject"], by=form.by)
    return links.model(look.model, "drills")


def _labelled(look: Look, form: Form) -> str:
    """Write a label down; from the queue the way leads on to the next request."""
    label = form.fields.get("label", "").strip()
    if not label:
        raise errors.UsageError("no label was given, so nothing was written", remedy="Choose one.")
    look.room.label(look.params["subject"], label, by=form.by)
    return _on(form, links.prediction(look.model, look.params["subject"]))


def _marked_as(kind: MarkKind) -> Callable[[Look, Form], str]:
    def do(look: Look, form: Form) -> str:
        look.room.review_mark(look.params["subject"], kind, by=form.by)
        return _on(form, links.model(look.model, "review", last=look.params["subject"]))

    return do


def _taken_back(look: Look, form: Form) -> str:
    look.room.review_undo(look.params["subject"], by=form.by)
    return _on(form, links.model(look.model, "review", at=look.params["subject"]))


def _drawn(look: Look, form: Form) -> str:
    text = form.fields.get("count", str(USUAL_DRAW))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST_DRAWN):
        raise errors.UsageError(
            f"{text[:40]!r} requests; allowed: a whole number from 1 to {MOST_DRAWN:,}", remedy="Give such a number."
        )
    look.room.review_draw(int(text), by=form.by)
    return links.model(look.model, "review")


def _on(form: Form, otherwise: str) -> str:
    """Return where a form says that the way leads on, within this room."""
    back = form.fields.get("back", "")
    return back if links.is_local(back) else otherwise


def _told(text: str) -> Callable[[Look], str]:
    return lambda look: text.replace("{}", look.params["subject"]).replace("{model}", look.model)


ACTS: tuple[Act, ...] = (
    Act(
        name="acknowledge",
        title="Acknowledge",
        tells=_told("Incident {} is yours: nobody is reminded of it any more, and the watch goes on adding to it."),
        do=_moved(State.ACKNOWLEDGED),
    ),
    Act(
        name="mitigate",
        title="Mitigated",
        tells=_told("Incident {} does no harm any more, though its cause is there. Who was told of it hears so."),
        do=_moved(State.MITIGATED),
    ),
    Act(
        name="resolve",
        title="Resolve",
        tells=_told("Incident {} is over. Who was told of it hears so; the same harm then opens a new one."),
        do=_moved(State.RESOLVED),
    ),
    Act(
        name="reopen",
        title="Reopen",
        tells=_told("Incident {} goes on."),
        do=_moved(State.OPEN),
    ),
    Act(name="note", title="Add a note", tells=_told("The note stands with incident {}."), do=_noted),
    Act(
        name="useful",
        title="Was useful",
        tells=_told("It was right to tell people of incident {}: counted in the precision of its monitor."),
        do=_marked(useful=True),
    ),
    Act(
        name="useless",
        title="Was not useful",
        tells=_told("Nobody needed to hear of incident {}: counted in the precision of its monitor."),
        do=_marked(useful=False),
    ),
    Act(
        name="promote",
        title="Promote",
        tells=_told("{model}@{} answers everybody at once, whatever its guards have shown, and begins its probation."),
        do=_promoted,
        needs_reason=True,
        binds_evidence=True,
    ),
    Act(
        name="hold",
        title="Hold",
        tells=_told("{model}@{} answers nobody until somebody lets it go on; what was learned of it is kept."),
        do=_held,
        needs_reason=True,
    ),
    Act(
        name="resume",
        title="Let it go on",
        tells=_told("{model}@{} goes on where it stood, once as many people agree as [rollout] approval asks for."),
        do=_resumed,
        needs_reason=True,
        binds_evidence=True,
    ),
    Act(
        name="abort",
        title="Abort the rollout",
        tells=_told("{model}@{} leaves; the champion answers everybody. It can be promoted again by force alone."),
        do=_aborted,
        needs_reason=True,
        danger=True,
    ),
    Act(
        name="rollback",
        title="Roll back",
        tells=_told("{} answers everybody at once; the version that answers now leaves."),
        do=_rolled_back,
        needs_reason=True,
        danger=True,
    ),
    Act(
        name="return",
        title="Return to it",
        tells=_told("{model}@{} answers everybody at once; what answers now leaves, and so does what is on its way."),
        do=_returned,
        needs_reason=True,
        danger=True,
    ),
    Act(
        name="label",
        title="Label",
        tells=_told("What is true of request {} is written down; a later word on it wins. Choose it on its page."),
        do=_labelled,
        scope=Scope.FEEDBACK,
    ),
    Act(
        name="unsure",
        title="Not sure",
        tells=_told("Request {} does not wait for you any more; the estimate says what it may hide."),
        do=_marked_as(MarkKind.UNSURE),
        scope=Scope.FEEDBACK,
    ),
    Act(
        name="skip",
        title="Skip",
        tells=_told("Request {} comes again when nothing else waits for you."),
        do=_marked_as(MarkKind.SKIPPED),
        scope=Scope.FEEDBACK,
    ),
    Act(
        name="undo",
        title="Take back",
        tells=_told("What you said last of request {} is taken back; what others said of it counts as before."),
        do=_taken_back,
        scope=Scope.FEEDBACK,
    ),
    Act(
        name="draw",
        title="Draw more",
        tells=_told(
            f"About {USUAL_DRAW} requests of the last seven days are picked for labelling: half of them a random part "
            "of all, half what the model is least sure of."
        ),
        do=_drawn,
        scope=Scope.FEEDBACK,
    ),
    Act(
        name="replay-letters",
        title="Try them again",
        tells=_told(
            "The records of {} that could not be used are tried again: those that can be used now are learned from, "
            "the others stay."
        ),
        do=_tried_again,
    ),
    Act(
        name="drill",
        title="Run the drill",
        tells=_told(
            "{} is played beside this project, which it does not touch. It takes a minute or two of this machine."
        ),
        do=_drilled,
    ),
)


def find(name: str) -> Act:
    """Return an act by its name; NotFound where there is none."""
    for act in ACTS:
        if act.name == name:
            return act
    raise errors.NotFound(f"there is no act {name[:40]!r}", remedy="Use the buttons of the pages.")
