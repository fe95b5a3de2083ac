"""The table of routes: every page, every document for plots, in one place."""

from __future__ import annotations

from mainstay.web.looks import Feedpoint, Page
from mainstay.web.pages import (
    axis,
    card,
    data,
    drills,
    incident,
    incidents,
    models,
    overview,
    predictions,
    review,
    rollout,
    scorecard,
    settings,
    versions,
)

PAGES: tuple[Page, ...] = (
    Page(path="/models", template="models.html", title="Models", build=models.page),
    Page(path="/models/{model}", template="overview.html", title="Overview", build=overview.page, tab="Overview"),
    Page(path="/models/{model}/time", template="axis.html", title="Over time", build=axis.page, tab="Over time"),
    Page(
        path="/models/{model}/incidents",
        template="incidents.html",
        title="Incidents",
        build=incidents.page,
        tab="Incidents",
    ),
    Page(
        path="/models/{model}/incidents/{number}",
        template="incident.html",
        title="Incident {number}",
        build=incident.page,
        tab="Incidents",
        parents=(("Incidents", "incidents"),),
    ),
    Page(path="/models/{model}/rollout", template="rollout.html", title="Rollout", build=rollout.page, tab="Rollout"),
    Page(
        path="/models/{model}/versions", template="versions.html", title="Versions", build=versions.page, tab="Versions"
    ),
    Page(
        path="/models/{model}/versions/{number}",
        template="version.html",
        title="Version {number}",
        build=versions.one_page,
        tab="Versions",
        parents=(("Versions", "versions"),),
    ),
    Page(
        path="/models/{model}/versions/{number}/card",
        template="card.html",
        title="Model card of version {number}",
        build=card.page,
        tab="Versions",
        parents=(("Versions", "versions"),),
        live=False,
    ),
    Page(
        path="/models/{model}/compare",
        template="compare.html",
        title="Two versions",
        build=versions.two_page,
        tab="Versions",
        parents=(("Versions", "versions"),),
    ),
    Page(
        path="/models/{model}/predictions",
        template="predictions.html",
        title="Predictions",
        build=predictions.page,
        tab="Predictions",
        live=False,
    ),
    Page(
        path="/models/{model}/predictions/{id:path}",
        template="prediction.html",
        title="{id}",
        build=predictions.one_page,
        tab="Predictions",
        parents=(("Predictions", "predictions"),),
        live=False,
    ),
    Page(
        path="/models/{model}/review",
        template="review.html",
        title="Review",
        build=review.page,
        tab="Review",
        live=False,
    ),
    Page(path="/models/{model}/data", template="data.html", title="Data", build=data.page, tab="Data"),
    Page(
        path="/models/{model}/scorecard",
        template="scorecard.html",
        title="Scorecard",
        build=scorecard.page,
        tab="Scorecard",
        live=False,
    ),
    Page(path="/models/{model}/drills", template="drills.html", title="Drills", build=drills.page, tab="Drills"),
    Page(
        path="/models/{model}/settings",
        template="settings.html",
        title="Settings",
        build=settings.page,
        tab="Settings",
        live=False,
    ),
)
TABS: tuple[tuple[str, str], ...] = (
    ("Overview", ""),
    ("Over time", "time"),
    ("Incidents", "incidents"),
    ("Rollout", "rollout"),
    ("Versions", "versions"),
    ("Predictions", "predictions"),
    ("Review", "review"),
    ("Data", "data"),
    ("Scorecard", "scorecard"),
    ("Drills", "drills"),
    ("Settings", "settings"),
)
"""A model's pages in the order in which they are offered, with their path below the model."""

DOCUMENTS: tuple[Feedpoint, ...] = (Feedpoint(path="/models/{model}/axis.json", build=axis.document),)
