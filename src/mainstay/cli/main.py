"""The command `mainstay`: one Typer app.

Each command lives in a module of its own and loads what it needs when it runs.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

import mainstay
from mainstay.cli import (
    adopt,
    alerts,
    audit,
    backtest,
    backup,
    card,
    check,
    compare,
    config,
    cost,
    doctor,
    drill,
    explain,
    explore,
    features,
    feedback,
    gate,
    golden,
    incidents,
    init,
    keys,
    learn,
    load_test,
    online,
    package,
    processes,
    profile,
    pull,
    quality,
    release,
    replay,
    reproduce,
    retrain,
    review,
    rollout,
    score,
    scorecard,
    silence,
    status,
    subjects,
    train,
    trust,
    up,
)

EPILOG = """\
Start with an example:

\b
  mainstay init pumps && cd pumps && mainstay up

Exit codes: 0 done, 1 a defect, 2 usage or project file, 3 data break the contract, 4 the gate failed, 5 not enough
evidence, 6 environment or state, 7 a drill missed, 130 interrupted. MAINSTAY_<SECTION>__<KEY> overrides a setting.
"""

app = typer.Typer(
    name="mainstay",
    help="Keep a machine-learning model alive in production.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for module in (
    init,
    adopt,
    check,
    compare,
    profile,
    backtest,
    train,
    retrain,
    online,
    pull,
    review,
    explore,
    trust,
    gate,
    golden,
    up,
    processes,
    status,
    quality,
    incidents,
    silence,
    alerts,
    cost,
    release,
    rollout,
    package,
    score,
    scorecard,
    card,
    load_test,
    feedback,
    features,
    replay,
    reproduce,
    explain,
    subjects,
    learn,
    keys,
    audit,
    backup,
    config,
    doctor,
    drill,
):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mainstay {mainstay.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Keep a machine-learning model alive in production."""
    del version  # its callback did the work


def run() -> None:
    """Run the command line and leave with its exit code."""
    # MLflow tells its own story on stderr (tables made, requirements compared); a command tells one story.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    app()
