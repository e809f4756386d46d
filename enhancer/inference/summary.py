"""What a run over many photos did, as a table for its end."""

import dataclasses
import time

from enhancer.inference.folder import Outcome


@dataclasses.dataclass
class RunSummary:
    """Counts outcomes.

    Args:
        total: photos that the command is about.
        skipped: of these, how many had a result before.
    """

    total: int
    skipped: int
    started: float = dataclasses.field(default_factory=time.monotonic)
    done: int = 0
    megapixels: float = 0.0
    notes: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)
    """A line for each: the photo and why."""

    def add(self, outcome: Outcome) -> None:
        """Count a photo."""
        if outcome.made is None:
            self.failures.append(named(outcome))
            return
        self.done += 1
        self.megapixels += outcome.made.width * outcome.made.height / 1e6
        self.notes += bool(outcome.made.notes)

    def table(self) -> str:
        """Lines of done, skipped and failed photos, and below them each failure with its reason."""
        seconds = time.monotonic() - self.started
        rate = f"{self.megapixels:.1f} MP, {seconds / max(1, self.done):.1f} s per photo"
        left = self.total - self.done - self.skipped - len(self.failures)
        rows = [
            ("done", self.done, rate * bool(self.done)),
            ("  with a note", self.notes, "see above"),
            ("skipped", self.skipped, "the result exists already; --overwrite makes it again"),
            ("failed", len(self.failures), "each is named below"),
            ("not begun", left, "the same command continues"),
        ]
        lines = [
            f"{name:<13}  {count:>{len(str(self.total))}}  {remark}".rstrip()
            for name, count, remark in rows
            if count or name == "done"
        ]
        return "\n".join([*lines, *(f"  {failure}" for failure in self.failures)])


def named(outcome: Outcome) -> str:
    """The problem behind the photo's path; most sentences begin with the file's name, which the
    path already says."""
    source, problem = outcome.job.source, outcome.problem or ""
    if problem.startswith(source.name):
        return f"{source}{problem.removeprefix(source.name)}"
    return problem if problem.startswith(str(source)) else f"{source}: {problem}"
