"""Scores as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from enhancer.scoring.columns import COLUMNS, MAIN_COLUMNS, number_text
from enhancer.scoring.results import method_title, score_text


def results_table(results: Mapping[str, Any]) -> str:
    """Return the scores as text for a terminal: methods as rows, mean ± half of the 95 % interval, then the pairs."""
    headings = [
        "",
        *(f"{COLUMNS[column].title} {COLUMNS[column].arrow}" for column in MAIN_COLUMNS),
    ]
    lines = [
        [method_title(method), *(score_text(scores, column) for column in MAIN_COLUMNS)]
        for method, scores in results["methods"].items()
    ]
    return "\n".join([text_table([headings, *lines]), "", *paired_sentences(results)])


def wide_table(results: Mapping[str, Any]) -> str:
    """Return the scores as one table for a terminal, regions and sizes by L1; L1, and L1 in the plan's protocol, with intervals."""
    methods = results["methods"]
    first = ("l1_plan", "l1")
    shown = [
        *first,
        *(
            column
            for column in COLUMNS
            if column not in first
            and (column in MAIN_COLUMNS or column.startswith("l1_"))
            and any(column in scores["mean"] for scores in methods.values())
        ),
    ]
    lines = [["", "n", *(f"{COLUMNS[column].title} {COLUMNS[column].arrow}" for column in shown)]]
    for method, scores in methods.items():
        cells = [
            score_text(scores, c)
            if c in first or c not in scores["mean"]
            else COLUMNS[c].text(scores["mean"][c])
            for c in shown
        ]
        lines.append([method_title(method), str(scores["n"]), *cells])
    return text_table(lines)


def paired_sentences(results: Mapping[str, Any], column: str = "l1") -> list[str]:
    """Return `fine-tuned vs scratch: L1 −12.3 % [−20.0, −4.0], n=8 photos`, in L1 itself if percent have no interval."""
    return [
        _paired_sentence(key, pair[column], column)
        for key, pair in results["paired"].items()
        if column in pair
    ]


def text_table(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as aligned text, a rule under the first; the first column to the left, the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = [
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
        )
        for line in lines
    ]
    table.insert(1, "-" * len(table[0]))
    return "\n".join(table)


def _paired_sentence(key: str, pair: Mapping[str, Any], column: str) -> str:
    main, _, other = key.partition("_vs_")
    photos = f"n={pair['n']} photo{'s' if pair['n'] != 1 else ''}"
    if pair["scenes"] != pair["n"]:
        photos += f" of {pair['scenes']} scenes"
    if pair["relative_low"] is not None:
        percent, low, high = (
            number_text(pair[f"relative_{x}"], 1, signed=True) for x in ("percent", "low", "high")
        )
        change = f"{percent} % [{low}, {high}]"
    elif pair["low"] is not None:
        mean, low, high = (
            COLUMNS[column].text(pair[x], signed=True) for x in ("mean", "low", "high")
        )
        change = f"{mean} [{low}, {high}]"
    else:
        change = f"{COLUMNS[column].text(pair['mean'], signed=True)} (one photo has no interval)"
    return (
        f"{method_title(main)} vs {method_title(other)}: {COLUMNS[column].title} {change}, {photos}"
    )
