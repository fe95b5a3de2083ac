"""`mainstay adopt`: a model from MLflow, or from a pickle, becomes a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, reports
from mainstay.core import errors

if TYPE_CHECKING:
    from mainstay.adoption.from_mlflow import FromMlflow


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "adopt", on_project=False)(adopt)


def adopt(
    call: edge.Call,
    uri: Annotated[
        str,
        typer.Argument(
            metavar="URI", help="models:/NAME/VERSION, models:/NAME@ALIAS, runs:/RUN/model, a folder, or a pickle."
        ),
    ],
    reference: Annotated[
        Path, typer.Option("--reference", metavar="FILE", help="Rows that the model was not fitted on.")
    ],
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="The truth among them; else accuracy is not known.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the project; else the model's.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--folder", metavar="DIR", help="Where to write; else ./NAME.")] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", metavar="URI", help="MLflow's address; else MLFLOW_TRACKING_URI."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B,…", help="In the order of the model's output, where it names none."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="COLUMN", help="Names the unit of evidence: a customer, a device.")
    ] = None,
    time: Annotated[str | None, typer.Option("--time", metavar="COLUMN", help="The event time.")] = None,
) -> None:
    """Turn a model from MLflow, or a pickle, into a served project.

    Any flavor: scikit-learn, XGBoost, LightGBM, PyTorch, TensorFlow, a pyfunc; as a pickle (.pkl, .pickle, .joblib) an
    estimator of scikit-learn's interface or a model of River's, which can go on learning. The model travels inside the
    project; serving it asks neither MLflow's server nor its store. Its answers are held against MLflow's own on the
    reference rows. With --target these rows judge it, calibrate its confidence and go live; without, nothing is known
    about accuracy, and a person has to promote it. Loading a model runs its code: adopt what you trust.

    \b
    Example:
      mainstay adopt models:/churn/3 --reference holdout.parquet --target left
      cd churn
      mainstay up
    """
    from mainstay.adoption.from_mlflow import adopt_from_mlflow

    with call.out.progress() as progress:
        result = adopt_from_mlflow(
            uri,
            reference=reference,
            target=target,
            name=name,
            folder=folder,
            tracking_uri=tracking_uri,
            classes=_names(classes),
            key=key,
            time=time,
            progress=progress,
        )
    call.out.document(
        {
            "uri": result.uri,
            "flavor": result.stored_as,
            "folder": result.folder,
            "version": result.version,
            "stage": result.stage.value,
            "verdict": result.verdict.value,
            "answers": result.answers,
            "accuracy_known": result.target is not None,
            "can_retrain": result.can_retrain,
            "classes": result.classes,
            "reference_rows": result.reference_rows,
            "metrics": result.metrics,
            "notes": result.notes,
            "bundle_mb": round(result.bundle_mb, 3),
            "seconds": round(result.seconds, 2),
            "checks": [reports.check_document(check) for check in result.checks],
        }
    )
    known = f": {reports.metric_line(result.metrics)}" if result.metrics else ""
    call.out.say(
        f"{result.uri} ({result.stored_as}) is {result.version}{known}",
        reports.gate_table(result.checks),
        *(f"note: {note}" for note in result.notes),
        f"{result.folder} holds it: {_size(result.bundle_mb)}, {result.seconds:.1f} s.",
        *_next(result),
    )
    if result.verdict.value == "fail":
        raise typer.Exit(int(errors.ExitCode.GATE_FAILED))


def _names(classes: str | None) -> tuple[str, ...]:
    if classes is None:
        return ()
    names = tuple(name.strip() for name in classes.split(","))
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise errors.UsageError(
            f"--classes {classes!r} does not name two classes or more, each once",
            remedy="Write them with commas between: --classes setosa,versicolor,virginica.",
        )
    return names


def _size(megabytes: float) -> str:
    return f"{megabytes:.1f} MB" if megabytes >= 1 else f"{megabytes * 1000:.0f} kB"


def _next(result: FromMlflow) -> list[str]:
    place = result.folder
    if result.answers:
        again = "" if result.can_retrain else " It is not retrained here: adopt the next version when there is one."
        return [f"{result.version} answers.{again}", "", "Next:", f"  cd {place}", "  mainstay up"]
    if result.verdict.value == "not_enough":
        number = result.version.rpartition("@")[2]
        return [
            "Nobody is sent to it: how right it is, is not known. To let it answer all the same, say why:",
            f'  mainstay promote {number} --force --reason "…" --project {place}',
            "Feedback then tells its accuracy. Or adopt it again with rows that hold the truth (--target).",
        ]
    return ["Nobody is sent to it: the gate did not pass. Mend the model or the rows, then adopt it again."]
