"""The list of a visitor's files with the progress of each, as HTML."""

from collections.abc import Sequence

from markupsafe import Markup

from demo.photos.session import Entry

_SIGNS = {"waiting": "", "working": "", "done": "✓", "failed": "!"}
_ROW = Markup(
    '<li class="entry {state}"{current}><span class="sign" aria-hidden="true">{sign}</span>'
    '<span class="words"><b>{name}</b><span class="text">{text}</span>{notes}{bar}</span></li>'
)
_BAR = Markup(
    '<span class="bar" role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" '
    'aria-valuemax="100" aria-label="{name}">'
    '<span style="width: {percent}%"></span></span>'
)
_NOTE = Markup('<span class="note">{}</span>')


def render_status_list(entries: Sequence[Entry], seconds_left: float | None = None) -> str:
    """Return the list, with a headline when there are several files; empty when there is none.

    Args:
        entries: in the order of the list.
        seconds_left: until all are done, if that can be said.
    """
    if not entries:
        return ""
    if all(entry.is_finished for entry in entries):
        # What needs the visitor's attention comes first, once rows no longer move.
        entries = sorted(entries, key=lambda entry: entry.state != "failed")
    rows = Markup("").join(map(_row, entries))
    headline = _headline(entries, seconds_left)
    return str(headline + Markup('<ul class="entries" aria-live="polite">{}</ul>').format(rows))


def _headline(entries: Sequence[Entry], seconds_left: float | None) -> Markup:
    if len(entries) == 1:
        return Markup("")
    finished = sum(entry.is_finished for entry in entries)
    failed = sum(entry.state == "failed" for entry in entries)
    words = f"{finished - failed} of {len(entries)} photos done"
    if failed:
        words += f", {failed} not possible"
    if finished < len(entries) and seconds_left is not None:
        seconds = max(1, round(seconds_left))
        words += f" · about {f'{seconds / 60:.0f} min' if seconds >= 90 else f'{seconds} s'} left"
    return Markup('<p class="headline">{}</p>').format(words)


def _row(entry: Entry) -> Markup:
    # The sentence of a failure begins with the file's name, which stands above it.
    text = entry.text.removeprefix(f"{entry.name} ").removeprefix(f"{entry.name}: ")
    notes = map(_capitalised, entry.photo.notes if entry.photo else ())
    is_running = entry.state == "working"
    return _ROW.format(
        state=entry.state,
        current=Markup(' aria-current="step"') if is_running else "",
        sign=_SIGNS[entry.state],
        name=entry.name,
        text=_capitalised(text),
        notes=Markup("").join(map(_NOTE.format, notes)),
        bar=_BAR.format(percent=round(100 * entry.share), name=entry.name) if is_running else "",
    )


def _capitalised(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
