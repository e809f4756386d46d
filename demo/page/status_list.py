"""The list of a visitor's files with the progress of each, as HTML."""

from collections.abc import Sequence

from markupsafe import Markup, escape

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


def render_status_list(entries: Sequence[Entry], seconds_left: float | None = None) -> str:
    """Return the list, with a headline when there are several files; empty when there is none.

    Args:
        entries: in the order of the list.
        seconds_left: until all are done, if that can be said.
    """
    if not entries:
        return ""
    if all(entry.state in ("done", "failed") for entry in entries):
        # What needs the visitor's attention comes first, once rows no longer move.
        entries = sorted(entries, key=lambda entry: entry.state != "failed")
    rows = Markup("").join(_row(entry) for entry in entries)
    return str(
        Markup('{}<ul class="entries" aria-live="polite">{}</ul>').format(
            _headline(entries, seconds_left), rows
        )
    )


def _headline(entries: Sequence[Entry], seconds_left: float | None) -> Markup:
    if len(entries) == 1:
        return Markup("")
    finished = sum(entry.state in ("done", "failed") for entry in entries)
    failed = sum(entry.state == "failed" for entry in entries)
    words = f"{finished - failed} of {len(entries)} photos done"
    if failed:
        words += f", {failed} not possible"
    if finished < len(entries) and seconds_left is not None:
        words += f" · about {_duration(seconds_left)} left"
    return Markup('<p class="headline">{}</p>').format(words)


def _row(entry: Entry) -> Markup:
    # The sentence of a failure begins with the file's name, which stands above it.
    text = entry.text.removeprefix(f"{entry.name} ").removeprefix(f"{entry.name}: ")
    notes = Markup("").join(
        Markup('<span class="note">{}</span>').format(f"{note[:1].upper()}{note[1:]}")
        for note in (entry.photo.notes if entry.photo else ())
    )
    is_running = entry.state == "working"
    bar = (
        _BAR.format(percent=round(100 * entry.share), name=entry.name) if is_running else Markup("")
    )
    return _ROW.format(
        state=entry.state,
        current=Markup(' aria-current="step"') if is_running else "",
        sign=_SIGNS[entry.state],
        name=entry.name,
        text=escape(f"{text[:1].upper()}{text[1:]}"),
        notes=notes,
        bar=bar,
    )


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
