"""The table of routes: every page, every document for plots, in one place."""

from __future__ import annotations

from mainstay.web.looks import Feedpoint, Page
from mainstay.web.pages import axis, incident, incidents, models, overview

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
        title="Incident",
        build=incident.page,
        tab="Incidents",
        parents=(("Incidents", "incidents"),),
    ),
)
TABS: tuple[tuple[str, str], ...] = (
    ("Overview", ""),
    ("Over time", "time"),
    ("Incidents", "incidents"),
)
"""A model's pages in the order in which they are offered, with their path below the model."""

DOCUMENTS: tuple[Feedpoint, ...] = (Feedpoint(path="/models/{model}/axis.json", build=axis.document),)
