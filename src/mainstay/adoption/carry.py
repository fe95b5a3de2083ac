"""An estimator and its code as bytes: classes and functions of the notebook, and of files beside it, by value."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from mainstay.core.errors import MainstayError, UsageError, shorten
from mainstay.models import environment, pickles


def private_copy(fitted: Any) -> tuple[Any, bytes]:
    """Return a copy that nothing of the notebook's touches, and its bytes. Raises UsageError when it has none."""
    data = carried_bytes(fitted, "the estimator")
    return pickle.loads(data), data  # noqa: S301 - our own bytes, just made


def unfitted_bytes(fitted: Any) -> bytes:
    """Return the bytes of an unfitted clone. Raises UsageError when it cannot be cloned or carried."""
    from sklearn.base import clone

    try:
        unfitted = clone(fitted)
    except Exception as error:  # edge: the user's own __init__ and get_params run
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(
            f"the {type(fitted).__name__} cannot be cloned, so it could not be fitted again: {first}",
            remedy="Give its class get_params() (inherit from sklearn.base.BaseEstimator) and let __init__ only store "
            "its arguments, unchanged and under their own names.",
        ) from error
    data = carried_bytes(unfitted, "the unfitted estimator")
    try:
        clone(pickle.loads(data))  # noqa: S301 - our own bytes, just made
    except Exception as error:  # edge: the user's own __setstate__ may run
        raise UsageError(
            f"the unfitted estimator does not come back from its pickle: {type(error).__name__}: {error}",
            remedy="Let the state of its class go through pickle.",
        ) from error
    return data


def carried_bytes(value: Any, what: str) -> bytes:
    """Return the pickle of a value; code that is not installed here travels in it by value."""
    try:
        with code_by_value(value):
            return pickles.dump(value)
    except MainstayError as error:
        culprit = _culprit(value)
        told = f" It is in {culprit}." if culprit else ""
        raise UsageError(
            f"{what} cannot be carried: {error.message.partition(': ')[2] or error.message}.{told}",
            remedy="Keep open files, locks, generators and connections out of it: open them where they are used, or "
            "leave them out in __getstate__.",
        ) from error


@contextmanager
def code_by_value(value: Any) -> Iterator[None]:
    """Let code of modules that are not installed (files beside the notebook) travel by value within the block."""
    import cloudpickle

    registered: list[ModuleType] = []
    try:
        for module in _own_modules(value):
            cloudpickle.register_pickle_by_value(module)
            registered.append(module)
        yield
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def is_installed(module: str) -> bool:
    """Return whether a module comes with Python or with an installed package, and so is there where a bundle is."""
    root = module.partition(".")[0]
    if root in sys.stdlib_module_names or root == "mainstay" or root in _installed():
        return True
    file = getattr(sys.modules.get(root), "__file__", None)
    return file is None or bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def _own_modules(value: Any) -> list[ModuleType]:
    """Return the modules beside the notebook that a pickle of `value` names, and those that these import in turn."""
    import cloudpickle

    try:
        data = cloudpickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - edge: the caller's own dump tells what is wrong
        return []
    roots = {root for root in environment.modules_named(data) if not is_installed(root) and root != "__main__"}
    if not roots:
        return []
    # What such a module imports from beside itself must travel too: every module loaded from the same folders.
    folders = {Path(str(sys.modules[root].__file__)).parent for root in roots if root in sys.modules}
    return [
        module
        for name, module in list(sys.modules.items())
        if "." not in name and name != "__main__" and not is_installed(name) and _folder(module) in folders
    ]


def _folder(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).parent if file else None


@cache
def _installed() -> frozenset[str]:
    return frozenset(metadata.packages_distributions())


def _culprit(value: Any, path: str = "", depth: int = 0) -> str:
    """Return the innermost part of an estimator that has no pickle, as a path with what it is; empty when none has."""
    import cloudpickle

    for name, part in _parts_of(value):
        try:
            cloudpickle.dumps(part)
        except Exception:  # noqa: BLE001 - edge: any object may refuse, in any way
            here = f"{path}.{name}" if path else name
            deeper = _culprit(part, here, depth + 1) if depth < 8 else ""
            return deeper or f"{here} (a {type(part).__name__}: {shorten(part, 60)})"
    return ""


def _parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set):
        yield from ((f"[{number}]", part) for number, part in enumerate(value))
    else:
        yield from vars(value).items() if hasattr(value, "__dict__") else ()
        for name, cell in zip(
            getattr(getattr(value, "__code__", None), "co_freevars", ()),
            getattr(value, "__closure__", None) or (),
            strict=False,
        ):
            yield name, cell.cell_contents
