"""How often rows are said to be unlike training, on rows that were left out of it, and what looking costs.

`python bench/unlike_training.py DATA` prints a table; DATA holds adult, bike, banking77 and clinc150 as published. It
measures and is no test: its figures stand in docs/trust.md.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import process_time_ns
from typing import Any

import numpy as np
import polars as pl

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.models.doubts import Doubts
from mainstay.models.familiar import familiar
from mainstay.models.signals import RowSignals
from mainstay.train.fit import Rows
from mainstay.train.folds import group_codes, left_out_signals, vocabulary_of

BIKE = ("season", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit", "temp", "atemp", "hum", "windspeed")
OTHER = {
    "German": (
        "Ich habe meine Karte verloren, was soll ich tun?",
        "Wie kann ich mein Konto schließen?",
        "Meine Überweisung ist noch nicht angekommen.",
        "Warum wurde mir eine Gebühr berechnet?",
        "Wann bekomme ich meine neue Karte?",
        "Ich möchte meine PIN ändern",
        "Die Zahlung wurde abgelehnt, bitte helfen Sie mir",
        "Kann ich Geld in einer anderen Währung abheben?",
        "Der Automat hat meine Karte eingezogen",
        "Wo finde ich den Wechselkurs für heute?",
        "Ich brauche eine Rückerstattung",
        "Die App funktioniert auf meinem Handy nicht mehr",
    ),
    "French": (
        "J'ai perdu ma carte, que dois-je faire ?",
        "Comment puis-je fermer mon compte ?",
        "Mon virement n'est pas encore arrivé",
        "Pourquoi ai-je été facturé des frais ?",
        "Quand vais-je recevoir ma nouvelle carte ?",
        "Je voudrais changer mon code PIN",
        "Le paiement a été refusé, aidez-moi s'il vous plaît",
        "Puis-je retirer de l'argent dans une autre devise ?",
        "Le distributeur a avalé ma carte",
        "Où puis-je trouver le taux de change du jour ?",
        "Je veux un remboursement pour cet achat",
        "L'application ne marche plus sur mon téléphone",
    ),
    "Spanish": (
        "He perdido mi tarjeta, ¿qué debo hacer?",
        "¿Cómo puedo cerrar mi cuenta?",
        "Mi transferencia todavía no ha llegado",
        "¿Por qué me cobraron una comisión?",
        "¿Cuándo recibiré mi nueva tarjeta?",
        "Quiero cambiar mi PIN",
        "El pago fue rechazado, ayúdenme por favor",
        "¿Puedo sacar dinero en otra moneda?",
        "El cajero se ha tragado mi tarjeta",
        "¿Dónde encuentro el tipo de cambio de hoy?",
        "Necesito un reembolso de esta compra",
        "La aplicación no funciona en mi teléfono",
    ),
    "Russian": ("Я потерял карту", "Как закрыть счёт?", "Where is my карта?"),
    "Chinese": ("我的卡丢了", "怎么关闭我的账户"),
}
Values = Sequence[Mapping[str, Any]]


class Trained:
    """What training leaves of rows, and what it says of others."""

    def __init__(self, contract: Contract, rows: Values) -> None:
        given = Rows(values=rows, truth=np.zeros(len(rows)), is_traffic=np.zeros(len(rows), dtype=bool))
        vocabulary = vocabulary_of(contract, given)
        self.seen = familiar(contract, rows, group_codes(given), left_out_signals(contract, given))
        self.signals = RowSignals(contract, vocabulary)
        self.doubts = Doubts(contract, self.seen, vocabulary)

    def codes(self, rows: Values) -> list[set[str]]:
        """Return the codes of what is said of each row."""
        said = self.doubts.of(rows, [self.signals.measure(row) for row in rows])
        return [{caveat.code for caveat in said.get(index, ())} for index in range(len(rows))]

    def cost_us(self, rows: Values, batch: int) -> tuple[float, float]:
        """Return the processor time of measuring signals and of looking for doubts, per row, in µs."""
        parts = [rows[at : at + batch] for at in range(0, len(rows) - batch + 1, batch)]
        measured = [[self.signals.measure(row) for row in part] for part in parts]
        rounds = max(1, 40_000 // len(rows))
        best = [float("inf"), float("inf")]
        for _ in range(5):
            began = process_time_ns()
            for _ in range(rounds):
                for part in parts:
                    [self.signals.measure(row) for row in part]
            between = process_time_ns()
            for _ in range(rounds):
                for part, signals in zip(parts, measured, strict=True):
                    self.doubts.of(part, signals)
            ended = process_time_ns()
            count = rounds * len(parts) * batch * 1000
            best = [min(best[0], (between - began) / count), min(best[1], (ended - between) / count)]
        return best[0], best[1]


def texts(lines: Iterable[str]) -> Values:
    """Return rows of one text."""
    return [{"text": line} for line in lines]


def text_contract() -> Contract:
    """Return a contract of one text."""
    return Contract(task=Task.REGRESSION, fields=(Field(name="text", type=FieldType.TEXT),), target="y")


def table_contract(numbers: Iterable[str], categories: Iterable[str] = ()) -> Contract:
    """Return a contract of numbers and open categories."""
    fields = (
        *(Field(name=name, type=FieldType.NUMBER, required=False) for name in numbers),
        *(Field(name=name, type=FieldType.CATEGORY, required=False) for name in categories),
    )
    return Contract(task=Task.REGRESSION, fields=fields, target="y")


def rates(trained: Trained, rows: Values) -> str:
    """Return how often each thing is said of rows."""
    codes = trained.codes(rows)
    counts = Counter(code for one in codes for code in one)
    told = ", ".join(f"{code} {count / len(rows):.3%}" for code, count in sorted(counts.items()))
    return f"{len(rows):6d} rows: any {sum(map(bool, codes)) / len(rows):.3%}; {told}"


def split(rows: Values, seed: int = 0) -> tuple[Values, Values]:
    """Return 70 % and 30 % of rows, at random."""
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    cut = int(0.7 * len(rows))
    return [rows[i] for i in order[:cut]], [rows[i] for i in order[cut:]]


def table(name: str, frame: pl.DataFrame, numbers: Sequence[str], categories: Sequence[str] = ()) -> None:
    """Print the rates of a table, and those of rows that were made strange."""
    frame = frame.with_columns(pl.col(numbers).cast(pl.Float64), pl.col(categories).cast(pl.String))
    contract = table_contract(numbers, categories)
    train, held = split(frame.select(*numbers, *categories).to_dicts())
    trained = Trained(contract, train)
    print(f"{name}: left out        {rates(trained, held)}")
    rng = np.random.default_rng(1)
    columns = {key: [row[key] for row in held] for key in numbers}
    mixed = {key: rng.permutation(np.array(column, dtype=float)) for key, column in columns.items()}
    shuffled = [{**row, **{key: float(mixed[key][i]) for key in numbers}} for i, row in enumerate(held)]
    print(f"{name}: numbers shuffled {rates(trained, shuffled)}")
    last = numbers[-1]
    for times in (10, 100):
        strange = [{**row, last: None if row[last] is None else row[last] * times} for row in held]
        print(f"{name}: {last} x {times:<4} {rates(trained, strange)}")


def text(name: str, train: Sequence[str], held: Sequence[str], out: Sequence[str] = ()) -> None:
    """Print the rates of texts, of other languages, and of queries out of scope."""
    trained = Trained(text_contract(), texts(train))
    print(f"{name}: words limit {trained.seen.texts['text'].unseen_share}, {trained.seen.texts['text'].scripts}")
    print(f"{name}: left out    {rates(trained, texts(held))}")
    if out:
        print(f"{name}: out of scope {rates(trained, texts(out))}")
    for language, sentences in OTHER.items():
        print(f"{name}: {language:12s} {rates(trained, texts(sentences))}")


def cost() -> None:
    """Print what looking costs on clean rows."""
    rng = np.random.default_rng(0)
    known = [f"word{number}" for number in range(2000)]
    lines = [" ".join(rng.choice(known, size=9)) for _ in range(2000)]
    names = [f"x{number}" for number in range(20)]
    wide = [dict(zip(names, row, strict=True)) for row in rng.normal(size=(4000, 20)).tolist()]
    kinds = [{f"c{n}": f"v{v}" for n, v in enumerate(row)} for row in rng.integers(0, 10, size=(4000, 8)).tolist()]
    for name, contract, rows in (
        ("one ASCII text of 9 words", text_contract(), texts(lines)),
        ("20 numbers", table_contract(names), wide),
        ("8 categories", table_contract((), list(kinds[0])), kinds),
    ):
        trained = Trained(contract, rows)
        for batch in (1, 32):
            signals, doubts = trained.cost_us(rows[:1000], batch)
            print(f"{name}, batches of {batch}: signals {signals:.2f} µs a row, doubts {doubts:.2f} µs a row")


def main(data: Path) -> None:
    """Measure."""
    cost()
    adult = pl.read_parquet(data / "adult" / "adults.parquet")
    kinds = adult.schema
    numbers = [name for name, kind in kinds.items() if kind.is_numeric()]
    table("adult", adult, numbers, [n for n, k in kinds.items() if not k.is_numeric()])
    table("bike", pl.read_csv(data / "bike" / "hour.csv"), BIKE)
    with (data / "banking77" / "train.csv").open(encoding="utf-8") as file:
        train = [row["text"] for row in csv.DictReader(file)]
    with (data / "banking77" / "test.csv").open(encoding="utf-8") as file:
        test = [row["text"] for row in csv.DictReader(file)]
    text("banking77", train, test)
    clinc = json.loads((data / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    own = {name: [line for line, _ in rows] for name, rows in clinc.items()}
    out = [*own["oos_test"], *own["oos_val"], *own["oos_train"]]
    text("clinc150", own["train"], [*own["val"], *own["test"]], out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
