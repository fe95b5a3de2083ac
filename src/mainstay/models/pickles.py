"""Estimators to bytes: by value for the project's own code, equal bytes for equal models."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterable
from hashlib import sha256
from types import ModuleType
from typing import Any, ClassVar

from mainstay.core.errors import ProjectFileError

ADDRESSES = ("_stop_words_id",)
"""Attributes of estimators that hold an address in memory."""


def dump(estimator: Any, *, own_modules: Iterable[ModuleType] = ()) -> bytes:
    """Return the pickle of a fitted estimator; classes and functions of `own_modules` travel in it by value.

    The bytes are those of a copy that went through a pickle once, whose shared strings no longer depend on what the
    process did before. Sets are stored in sorted order, whatever the process's hash seed.
    """
    import cloudpickle

    modules = list(own_modules)
    _name_classes(modules)
    registered: list[ModuleType] = []
    try:
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
            registered.append(module)
        first = cloudpickle.dumps(estimator, protocol=5)
        copy = pickle.loads(first)  # noqa: S301 - our own bytes, just made
        again = _dump_without_addresses(copy)
        if _holds_set(again):
            again = _dump_sorted(copy)
    except Exception as error:  # edge: any object in the user's estimator may refuse
        raise ProjectFileError(
            f"The fitted model cannot be saved: {type(error).__name__}: {error}",
            remedy="Keep open files, locks, generators and connections out of the estimator.",
        ) from error
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
    return again


def _dump_without_addresses(value: Any) -> bytes:
    """Pickle what is nobody else's, leaving out attributes that hold an address: each process has others.

    scikit-learn's text vectorizers note where the stop words lie that they checked; without it they check once more.
    """
    from cloudpickle import Pickler as Cloud

    class Plain(Cloud):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            state = getattr(obj, "__dict__", None)
            if type(state) is dict:
                for name in ADDRESSES:
                    state.pop(name, None)
            return super().reducer_override(obj)

    file = io.BytesIO()
    Plain(file, protocol=5).dump(value)
    return file.getvalue()


def _holds_set(data: bytes) -> bool:
    return any(opcode.name in ("EMPTY_SET", "FROZENSET") for opcode, _, _ in pickletools.genops(data))


def _dump_sorted(value: Any) -> bytes:
    """Pickle in Python rather than C, which alone lets sets be stored in another way; slower, the same otherwise."""
    from cloudpickle import Pickler as Cloud

    class Sorted(pickle._Pickler):
        dispatch_table = Cloud.dispatch_table
        reducer_override = Cloud.reducer_override
        _function_reduce = Cloud._function_reduce
        _dynamic_function_reduce = Cloud._dynamic_function_reduce
        _function_getnewargs = Cloud._function_getnewargs

        def __init__(self, file: io.BytesIO) -> None:
            super().__init__(file, protocol=5)
            self.globals_ref: dict[int, Any] = {}

        def save_sorted(self, found: Any) -> None:
            ordered = sorted(found, key=lambda member: (type(member).__qualname__, repr(member)))
            self.save_reduce(type(found), (ordered,), obj=found)  # type: ignore[attr-defined]

        dispatch: ClassVar[dict[type, Any]] = {
            **pickle._Pickler.dispatch,
            set: save_sorted,
            frozenset: save_sorted,
        }

    file = io.BytesIO()
    Sorted(file).dump(value)
    return file.getvalue()


def _name_classes(modules: list[ModuleType]) -> None:
    """Give the project's classes names that depend on their code alone.

    cloudpickle marks each class that it stores by value with a random id, under which a process that loads it finds it
    again. A digest of the code serves the same end and is the same in every process; other code gets another id.
    """
    from cloudpickle import cloudpickle as inner

    for module in modules:
        code = getattr(module, "__mainstay_code__", "")
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__ == module.__name__:
                _track(inner, value, sha256(f"{code}\x1f{value.__qualname__}".encode()).hexdigest())


def _track(inner: Any, class_: type, tracker_id: str) -> None:
    with inner._DYNAMIC_CLASS_TRACKER_LOCK:
        inner._DYNAMIC_CLASS_TRACKER_BY_CLASS[class_] = tracker_id
        inner._DYNAMIC_CLASS_TRACKER_BY_ID[tracker_id] = class_
