"""Fetches a model that MLflow stored, whatever its flavor, and opens it: native where that gives more than pyfunc."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import os
import pickle
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mainstay.core.errors import BadData, EnvironmentFault, MainstayError, NotFound, UsageError
from mainstay.models.wrapped import Layout
from mainstay.registry.mlflow_registry import edge
from mainstay.registry.packed import QUIET, quiet_mlflow

if TYPE_CHECKING:
    from types import ModuleType

    from mlflow.tracking import MlflowClient

NATIVE = ("sklearn", "xgboost", "lightgbm", "pytorch")
"""Opened as what they are; every other flavor (tensorflow among them, whose pyfunc gives the same output) by pyfunc."""
_LIBRARIES: Mapping[str, tuple[str, str]] = {
    "sklearn": ("sklearn", "scikit-learn"),
    "xgboost": ("xgboost", "xgboost"),
    "lightgbm": ("lightgbm", "lightgbm"),
    "pytorch": ("torch", "torch"),
    "tensorflow": ("tensorflow", "tensorflow"),
    "keras": ("keras", "keras"),
    "catboost": ("catboost", "catboost"),
    "onnx": ("onnxruntime", "onnxruntime"),
    "statsmodels": ("statsmodels", "statsmodels"),
    "prophet": ("prophet", "prophet"),
    "transformers": ("transformers", "transformers"),
    "spacy": ("spacy", "spacy"),
}
"""Flavor -> the module it needs and the package that brings it."""
_MODELFILE = "MLmodel"
_AWAY = "Start the registry, or name another one with --tracking-uri."
_DESCRIPTION = (
    "models:/NAME/VERSION, models:/NAME@ALIAS, runs:/RUN_ID/model, the path of a model's folder, or a pickle "
    "(.pkl, .pickle, .joblib)"
)
PICKLE = "pickle"
"""Flavor of a fitted model in a file, which MLflow does not know."""
_PICKLES = (".pkl", ".pickle", ".joblib")
TEXT, TIME = "str", "datetime64[ns]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One input that the model's signature names."""

    name: str
    type: str
    """NumPy type; `str` for text; `datetime64[ns]`; empty: any."""
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What the model says it takes."""

    columns: tuple[Column, ...] = ()
    """By name; none: it takes an array, or says nothing."""
    width: int | None = None
    """Of an array or of unnamed columns; None: unknown."""
    type: str = ""
    """NumPy type of an array."""
    tensor: str = ""
    """Name of the array, where it has one."""
    is_array: bool = False

    def layout(self, columns: Sequence[str]) -> Layout:
        """Return how a frame with these columns, in this order, becomes the model's input."""
        if self.is_array:
            return Layout(columns=tuple(columns), types=(self.type or "float64",), is_array=True, tensor=self.tensor)
        known = {column.name: column.type for column in self.columns}
        return Layout(columns=tuple(columns), types=tuple(known.get(name, "") for name in columns) if known else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A model's folder on this machine, and what it says about itself."""

    uri: str
    """As it was asked for."""
    folder: Path
    flavor: str
    """The one that it is opened by: of NATIVE, or `pyfunc`."""
    stored_as: tuple[str, ...]
    """Every flavor that it has."""
    signature: Signature | None
    requirements: tuple[str, ...] = ()
    """Lines of its requirements.txt."""
    source: Mapping[str, str] = field(default_factory=dict)
    """Run, registered name and version, where they are known."""

    @property
    def library(self) -> str:
        """Return the flavor that a person knows it by: tensorflow, pyfunc, …"""
        native = [name for name in self.stored_as if name not in ("python_function", self.flavor)]
        return native[0] if self.flavor == "pyfunc" and native else self.flavor


def default_address() -> str:
    """Return MLflow's own tracking address: of the environment, else its default in the working folder."""
    import mlflow

    return str(mlflow.get_tracking_uri())


def fetch(uri: str, into: Path, *, tracking_uri: str | None = None) -> Stored:
    """Bring the model at `uri` into the folder `into` (a local folder stays where it is) and read its description.

    Raises NotFound naming the versions or models that exist and the nearest name, EnvironmentFault when the registry
    is away, BadData for a folder that holds no model or a signature that no table fits.
    """
    if is_pickle(uri):
        # Its own path stands for the folder: no module lies below it, so that what is beside it is nobody's code.
        return Stored(uri=uri, folder=Path(uri).expanduser(), flavor=PICKLE, stored_as=(PICKLE,), signature=None)
    folder, source = _local(uri), dict[str, str]()
    if folder is None:
        address = tracking_uri or default_address()
        _require_database(address)
        folder, source = _download(uri, into, address)
    return _described(uri, folder, source)


def is_pickle(uri: str) -> bool:
    """Return whether a model is a file with a pickle."""
    path = Path(uri).expanduser()
    return path.suffix.lower() in _PICKLES and path.is_file()


def open_native(stored: Stored) -> Any:
    """Return the object that the flavor stores: an estimator, a Booster, a module in evaluation mode.

    Raises EnvironmentFault with the exact install line when a library is absent.
    """
    _require_library(stored)
    with _opening(stored):
        if stored.flavor == PICKLE:
            return _unpickled(stored.folder)
        if stored.flavor == "sklearn":
            import mlflow.sklearn as flavor
        elif stored.flavor == "xgboost":
            import mlflow.xgboost as flavor  # type: ignore[no-redef]
        elif stored.flavor == "lightgbm":
            import mlflow.lightgbm as flavor  # type: ignore[no-redef]
        else:
            import mlflow.pytorch as flavor  # type: ignore[no-redef]
        load: Any = flavor.load_model
        model = load(str(stored.folder))
    if stored.flavor == "pytorch" and hasattr(model, "eval"):
        with _opening(stored):
            _evaluate_only(model)
    return model


def _unpickled(path: Path) -> Any:
    if path.suffix.lower() == ".joblib":
        import joblib

        return joblib.load(path)
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - whoever adopts a model runs its code, as the command says


def open_pyfunc(stored: Stored) -> Any:
    """Return MLflow's own model, whose `predict` is what MLflow itself would answer."""
    _require_library(stored)
    with _opening(stored):
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(str(stored.folder), suppress_warnings=True)


def own_modules(stored: Stored) -> list[ModuleType]:
    """Return the imported modules that came with the model's folder: they have to travel by value."""
    root = stored.folder.resolve()
    return [
        module
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and Path(file).resolve().is_relative_to(root)
    ]


@contextmanager
def code_of(stored: Stored) -> Iterator[None]:
    """Let the model's own code be imported, and leave no trace of it: another model may have modules of those names."""
    path, known = list(sys.path), set(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        for module in own_modules(stored):
            if module.__name__ not in known:
                sys.modules.pop(module.__name__, None)


def lock_lines(stored: Stored) -> tuple[str, ...]:
    """Return `name==version`, as installed here, of every package that the model's requirements name."""
    found = []
    for name in _package_names(stored):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name.lower().replace('_', '-')}=={metadata.version(name)}")
    return tuple(sorted(found))


def differing(stored: Stored) -> list[str]:
    """Return a sentence for each package whose version here is not the one that the model was stored with."""
    here = dict(line.split("==") for line in lock_lines(stored))
    out = []
    for line in stored.requirements:
        name, _, wanted = line.partition("==")
        known = here.get(name.lower().replace("_", "-"))
        if wanted and known is not None and known.partition("+")[0] != wanted.strip():
            out.append(f"{name} is {known} here, {wanted.strip()} where the model was stored")
    return out


def _package_names(stored: Stored) -> tuple[str, ...]:
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in stored.requirements)
    return tuple(match.group(0) for match in found if match)


def _local(uri: str) -> Path | None:
    if uri.startswith("file:"):
        return _model_folder(Path(unquote(urlsplit(uri).path)), uri)
    if re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:/", uri):
        return None
    path = Path(uri).expanduser()
    if not path.exists():
        raise NotFound(f"there is no model at {uri!r}; allowed: {_DESCRIPTION}", remedy=_nearest_path(path))
    return _model_folder(path, uri)


def _nearest_path(path: Path) -> str:
    around = [p.name for p in path.absolute().parent.iterdir()] if path.absolute().parent.is_dir() else []
    close = difflib.get_close_matches(path.name, around, n=1)
    return f"Did you mean {path.parent / close[0]}?" if close else "Correct the path, or name the model by its address."


def _model_folder(path: Path, uri: str) -> Path:
    if (path / _MODELFILE).is_file():
        return path
    raise NotFound(
        f"{uri} holds no {_MODELFILE} file, so it is no model that MLflow stored",
        remedy=f"Name the folder that holds {_MODELFILE}, or an address: {_DESCRIPTION}.",
    )


def _require_database(address: str) -> None:
    """Refuse an SQLite file or folder that is not there: MLflow would make an empty one where it looks for models."""
    parts = urlsplit(address)
    if parts.scheme.startswith("sqlite"):
        path = Path(address.partition(":///")[2].partition("?")[0])
    elif parts.scheme in ("", "file"):
        path = Path(unquote(parts.path))
    else:
        return
    if not path.exists():
        raise EnvironmentFault(
            f"there is no MLflow registry at {address}: {path} does not exist",
            remedy="Name the registry's address with --tracking-uri, or set MLFLOW_TRACKING_URI.",
        )


def _download(uri: str, into: Path, address: str) -> tuple[Path, dict[str, str]]:
    with edge(f"fetch {uri} from {address}", address, remedy=_AWAY):
        import mlflow
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=address, registry_uri=address)
        kind = uri.partition(":")[0]
        exact, source = uri, dict[str, str]()
        if kind == "models":
            exact, source = _registered(client, uri)
        elif kind == "runs":
            source = _run(client, uri)
        try:
            got = mlflow.artifacts.download_artifacts(
                artifact_uri=exact, dst_path=str(into), tracking_uri=address, registry_uri=address
            )
        except Exception as error:
            if kind == "runs":
                raise _no_artifact(client, uri, source["run"]) from error
            raise
    return _model_folder(Path(got), uri), source


def _registered(client: MlflowClient, uri: str) -> tuple[str, dict[str, str]]:
    """Return the exact address of a registered model's version, and what it is."""
    rest = uri.removeprefix("models:/").strip("/")
    if re.fullmatch(r"m-[0-9a-f]+", rest):
        return uri, {"model_id": rest}
    name, alias, wish = (*rest.partition("@")[:2], rest.partition("@")[2]) if "@" in rest else _split(rest, uri)
    versions = _versions(client, name)
    numbers = sorted((int(v.version) for v in versions), reverse=True)
    if alias:
        found = client.get_registered_model(name).aliases
        if wish not in found:
            raise NotFound(
                f"{name} has no alias {wish!r}; {_listed('aliases', sorted(found))}",
                remedy=_did_you_mean(wish, found, f"models:/{name}@"),
            )
        wish = str(found[wish])
    elif wish.lower() == "latest":
        wish = str(numbers[0])
    chosen = next((v for v in versions if str(v.version) == wish), None)
    if chosen is None:
        raise NotFound(
            f"{name} has no version {wish!r}; {_listed('versions', [str(n) for n in sorted(numbers)])}",
            remedy=f"For example models:/{name}/{numbers[0]}.",
        )
    source = {"name": name, "version": str(chosen.version)} | ({"run": chosen.run_id} if chosen.run_id else {})
    return f"models:/{name}/{chosen.version}", source


def _split(rest: str, uri: str) -> tuple[str, str, str]:
    name, _, version = rest.rpartition("/")
    if not name or not version:
        raise UsageError(f"{uri!r} names no version", remedy=f"Write one of {_DESCRIPTION}.")
    return name, "", version


def _versions(client: MlflowClient, name: str) -> list[Any]:
    found = list(client.search_model_versions(f"name = '{name.replace(chr(39), '')}'"))
    if found:
        return found
    known = [model.name for model in client.search_registered_models(max_results=200)]
    if name in known:
        raise NotFound(f"the registered model {name!r} has no version", remedy="Register one, then adopt it.")
    raise NotFound(
        f"the registry has no model {name!r}; {_listed('models', sorted(known))}",
        remedy=_did_you_mean(name, known, "models:/") if known else "Name another registry with --tracking-uri.",
    )


def _run(client: MlflowClient, uri: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    run_id = uri.removeprefix("runs:/").strip("/").partition("/")[0]
    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        remedy = "Copy the run's id from MLflow's pages."
        raise NotFound(f"the registry has no run {run_id!r}", remedy=remedy) from error
    return {"run": run_id}


def _no_artifact(client: MlflowClient, uri: str, run_id: str) -> NotFound:
    path = uri.removeprefix("runs:/").strip("/").partition("/")[2]
    outputs = client.get_run(run_id).outputs
    logged = [client.get_logged_model(m.model_id).name for m in (outputs.model_outputs if outputs else [])]
    names = sorted({*logged, *(item.path for item in client.list_artifacts(run_id))})
    return NotFound(
        f"run {run_id} has no model {path!r}; {_listed('models and artifacts', names)}",
        remedy=_did_you_mean(path, names, f"runs:/{run_id}/") if names else "Log a model in the run first.",
    )


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return f"it has no {what}"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"{what} that exist: {', '.join(names[:20])}{more}"


def _did_you_mean(name: str, known: Sequence[str] | Mapping[str, Any], before: str) -> str:
    close = difflib.get_close_matches(name.casefold(), {one.casefold(): one for one in known}, n=1, cutoff=0.5)
    lowered = {one.casefold(): one for one in known}
    return f"Did you mean {before}{lowered[close[0]]}?" if close else "Name one of these."


def _described(uri: str, folder: Path, source: dict[str, str]) -> Stored:
    from mlflow.models import Model

    try:
        model = Model.load(str(folder))
    except Exception as error:  # edge: a description that is cut or of another program
        raise BadData(
            f"{folder / _MODELFILE} cannot be read: {type(error).__name__}: {error}",
            remedy="Fetch or log the model again.",
        ) from error
    flavors = tuple(model.flavors)
    flavor = next((name for name in NATIVE if name in flavors), "pyfunc")
    if flavor == "pyfunc" and "python_function" not in flavors:
        raise BadData(
            f"{uri} is stored as {', '.join(flavors) or 'nothing'}; allowed: {', '.join(NATIVE)}, or any flavor that "
            "MLflow can load as a pyfunc",
            remedy="Log it with a flavor that has a pyfunc.",
        )
    lines = folder / "requirements.txt"
    text = lines.read_text(encoding="utf-8").splitlines() if lines.is_file() else []
    run = {"run": str(model.run_id)} if model.run_id else {}
    return Stored(
        uri=uri,
        folder=folder,
        flavor=flavor,
        stored_as=flavors,
        signature=_signature(model.signature),
        requirements=tuple(line.strip() for line in text if line.strip() and not line.startswith(("#", "-"))),
        source=run | source,
    )


def _signature(signature: Any) -> Signature | None:
    schema = signature.inputs if signature is not None else None
    if schema is None or not schema.inputs:
        return None
    if schema.is_tensor_spec():
        return _tensor(schema.inputs)
    odd = [spec for spec in schema.inputs if not hasattr(spec.type, "to_numpy")]
    if odd:
        raise BadData(
            f"the model's signature has the input {odd[0]}, which is no column of plain values",
            remedy="Mainstay watches tables: wrap the model in a pyfunc that takes numbers, texts, booleans or times.",
        )
    types = [_numpy_name(spec.type.to_numpy()) for spec in schema.inputs]
    if not schema.has_input_names():
        return Signature(width=len(types))
    return Signature(
        columns=tuple(
            Column(name=str(spec.name), type=kind, required=bool(spec.required))
            for spec, kind in zip(schema.inputs, types, strict=True)
        ),
        width=len(types),
    )


def _tensor(specs: Sequence[Any]) -> Signature:
    shapes = [tuple(spec.shape) for spec in specs]
    if len(specs) > 1 or len(shapes[0]) != 2 or shapes[0][0] != -1:
        raise BadData(
            f"the model's signature wants arrays of the shapes {shapes}; allowed: one array of the shape (-1, columns)",
            remedy="Wrap the model in a pyfunc that takes one row of a table for each answer.",
        )
    width = int(shapes[0][1])
    return Signature(
        width=width if width > 0 else None,
        type=_numpy_name(specs[0].type),
        tensor=specs[0].name or "",
        is_array=True,
    )


def _numpy_name(kind: Any) -> str:
    if kind.kind in "US":
        return TEXT
    return TIME if kind.kind == "M" else str(kind.name)


def _require_library(stored: Stored) -> None:
    for flavor in stored.stored_as:
        module, package = _LIBRARIES.get(flavor, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            raise _missing(stored, module, package)


def _missing(stored: Stored, module: str, package: str) -> EnvironmentFault:
    pinned = [line for line in stored.requirements if re.split(r"[=<>!~\[; ]", line)[0].lower() == package.lower()]
    wanted = pinned[0] if pinned else package
    quoted = f'"{wanted}"' if re.search(r"[<>!~;\[ ]", wanted) else wanted
    return EnvironmentFault(
        f"{stored.uri} is a model of {stored.library}, and the library {module!r} is not installed here",
        remedy=f"pip install {quoted}",
    )


@contextmanager
def _opening(stored: Stored) -> Iterator[None]:
    """Turn whatever another library raises while it reads its model into an EnvironmentFault."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    try:
        with quiet_mlflow(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MainstayError:
        raise
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        packages = {line.lower().replace("-", "_"): line for line in _package_names(stored)}
        raise _missing(stored, name, packages.get(name.lower(), name)) from error
    except Exception as error:  # edge: another library's code and pickles may raise anything
        lines = " ".join(stored.requirements[:12])
        raise EnvironmentFault(
            f"{stored.uri} cannot be opened as {stored.library}: {type(error).__name__}: "
            f"{str(error).strip().partition(chr(10))[0][:300]}",
            remedy=f"Install what it was stored with: pip install {lines}"
            if lines
            else "Log it again in this environment.",
        ) from error


def _evaluate_only(model: Any) -> None:
    """Switch off what only training does (dropout); an exported program is switched off already and may refuse."""
    try:
        model.eval()
    except NotImplementedError:
        return
