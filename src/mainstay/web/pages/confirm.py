"""The page that asks before something is done."""

from __future__ import annotations

from mainstay.web import links
from mainstay.web.looks import Act, Look, Page
from mainstay.web.shown.confirm import Confirm


def build(look: Look, act: Act) -> Confirm:
    """Return the page's context."""
    back = look.query.get("back", "")
    return Confirm(
        title=act.title,
        tells=act.tells(look),
        action=links.model(look.model, f"do/{act.name}"),
        subject=look.params["subject"],
        evidence=look.room.evidence() if act.binds_evidence else "",
        reason_label="Why" if act.needs_reason else "Why (if you like)",
        needs_reason=act.needs_reason,
        danger=act.danger,
        back=back if links.is_local(back) else links.model(look.model),
    )


def _not_by_itself(look: Look) -> Confirm:
    raise AssertionError(f"{look.model}: an act is needed to confirm it")


PAGE = Page(path="/models/{model}/do/{act}", template="confirm.html", title="Confirm", build=_not_by_itself, live=False)
