"""Bulk over our own route: one instance on each line in, one prediction or error on each line out, in the same order.

A bad line costs itself alone. A few lines at a time are in work, each as a call of its own, so that others have their
turn between them; each is in the journal before its answer goes out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import IO

from mainstay.api import errors, fields
from mainstay.api.keys import Scope
from mainstay.api.operations import WITH_BODY, Content, Operation, fixed, plain_text
from mainstay.api.routes import Ask, HotRoute, Reply
from mainstay.core.errors import ContractViolation, MainstayError, Overloaded, TooLarge
from mainstay.serve import wire
from mainstay.serve.rows import Call
from mainstay.serve.worker import Worker

MEDIA = b"application/x-ndjson"
PIECE_ROWS = 128
"""Lines in work at once."""
PIECE_READS = 1024
"""Lines read at once, blank ones too: a body of nothing but line ends would else hold everybody up."""
PATIENCE_S = 30.0
"""So long the lines behind the first ones wait for room in the queue (seconds)."""
LOOK_S = 0.005
BLANK = b" \t\r\n"
"""White space as JSON has it."""
ALSO_LINE_ENDS = tuple((one.encode(), f"\\u{ord(one):04x}".encode()) for one in "\x85\u2028\u2029")
"""What some clients take for the end of a line is written as JSON may write it."""
LINES = "An Instance as JSON on each line."
KEPT = (400, 409, 413, 422)
"""Statuses of lines that are written down as refusals."""
MOST_KEPT = 1000
"""Refusals of one body that are written down; more are counted only, or a few bytes could fill the disk."""


async def answer_lines(ask: Ask, file: IO[bytes]) -> AsyncIterator[bytes]:
    """Yield the answers to a file's lines; blank lines are no instances.

    Raises before the first answer: NotReady, Overloaded, ContractViolation where there is no line at all.
    """
    worker = ask.hall.of(ask.model)
    worker.handler.live(ask.model)
    await _room(worker, 0.0)
    number = refused = 0
    for lines in _pieces(file, longest=worker.plan.max_body_kb * 1024):
        if not lines:
            await asyncio.sleep(0)
            continue
        if number:
            await _room(worker, PATIENCE_S)
        answers = [await _outcome(call) for call in [_call(ask, worker, line) for line in lines]]
        for line, answer in zip(lines, answers, strict=True):
            refused += _note(ask, worker, line, answer, keep=refused < MOST_KEPT)
        yield _written(answers, number)
        number += len(lines)
    if not number:
        raise ContractViolation("The body holds no line", remedy='Send {"inputs": {…}} on each line.')


def _call(ask: Ask, worker: Worker, line: bytes) -> asyncio.Future[list[wire.Prediction]] | MainstayError:
    """Queue one line; return what will be its predictions, or what is wrong with it."""
    most = worker.plan.max_body_kb * 1024
    try:
        if len(line) > most:
            raise TooLarge(f"The line has more than {most / 1024:g} kB, which are allowed ([serve] max_body_kb)")
        call: Call = worker.handler.validate_instances(
            ask.model, [wire.decode_instance(line)], client=ask.client, trace_id=ask.trace_id, size=len(line)
        )
        future: asyncio.Future[list[wire.Prediction]] = asyncio.get_running_loop().create_future()
        call.future = future
        worker.pending.put(call)
    except MainstayError as error:
        return error
    return future


async def _outcome(
    call: asyncio.Future[list[wire.Prediction]] | MainstayError,
) -> wire.Prediction | MainstayError:
    if isinstance(call, MainstayError):
        return call
    try:
        return (await call)[0]
    except MainstayError as error:
        return error


def _note(ask: Ask, worker: Worker, line: bytes, answer: wire.Prediction | MainstayError, *, keep: bool) -> bool:
    """Count what was missed and write down or count what was refused; return whether the line was refused."""
    if not isinstance(answer, MainstayError):
        return False
    status = errors.status_of(answer)
    if status >= 500:
        worker.metrics.missed(ask.model, answer.code, trace_id=ask.trace_id)
    if status in KEPT:
        worker.refuse(ask.model, line, answer, status, keep=keep)
    return status in KEPT


def _written(answers: Sequence[wire.Prediction | MainstayError], first: int) -> bytes:
    """Return the lines that answer a body's lines, the first of which has the number `first`, from 0."""
    written = bytearray()
    for number, answer in enumerate(answers, start=first):
        if isinstance(answer, MainstayError):
            answer.problems = tuple(replace(problem, row=number) for problem in answer.problems)
            written += errors.body_of(answer) + b"\n"
        else:
            written += wire.encode(answer) + b"\n"
    for character, escaped in ALSO_LINE_ENDS:
        written = written.replace(character, escaped)
    return bytes(written)


async def _room(worker: Worker, patience_s: float) -> None:
    """Return when the queue is at most half full; after `patience_s` whether or not, or raise Overloaded for none."""
    waited = 0.0
    while worker.pending.waiting_rows > worker.plan.max_waiting_rows // 2:
        if not patience_s:
            raise Overloaded(f"{worker.pending.waiting_rows} rows wait already")
        if waited >= patience_s:
            return  # each line then says for itself that too much waits
        await asyncio.sleep(LOOK_S)
        waited += LOOK_S


def _pieces(file: IO[bytes], *, longest: int) -> Iterator[list[bytes]]:
    """Yield the lines that are not blank, some at a time; of a line that is too long only the beginning.

    What is yielded after many blank lines may be empty: others then have their turn.
    """
    lines: list[bytes] = []
    reads = 0
    while line := file.readline(longest + 2):
        reads += 1
        if len(line) > longest + 1 and not line.endswith(b"\n"):
            while (rest := file.readline(longest)) and not rest.endswith(b"\n"):
                pass
        else:
            line = line.strip(BLANK)
        if line:
            lines.append(line)
        if len(lines) == PIECE_ROWS or reads == PIECE_READS:
            yield lines
            lines, reads = [], 0
    if lines:
        yield lines


async def _never(ask: Ask) -> Reply:
    raise errors.Defect(f"the lines to {ask.model} were not streamed")


ROUTES = (
    HotRoute(
        name="predict_lines",
        paths=("/v1/predict", "/v1/models/{model}/predict"),
        answer=_never,
        stream=answer_lines,
        gives=MEDIA,
        scope=Scope.PREDICT,
        takes=frozenset({MEDIA, b"application/ndjson", b"application/jsonl"}),
        refusals_are_kept=True,
        operation=Operation(
            summary="Answer rows, one on each line.",
            takes={
                MEDIA.decode(): Content(
                    schema=fixed({"type": "string", "pattern": "[^ \\t\\r\\n]", "description": LINES}),
                    example=lambda contract: json.dumps({"inputs": fields.example_inputs(contract)}) + "\n",
                )
            },
            gives={MEDIA.decode(): plain_text("For each line, in order, a Prediction or an ErrorResponse as JSON.")},
            errors=WITH_BODY,
        ),
    ),
)
