"""What is said to who waits: sentences above a progress bar."""

from tqdm import tqdm

from enhancer.system.processes import is_first_process


def say(text: str, *, each_process: bool = False) -> None:
    """Print a line, above a progress bar; of several processes the first does, or each."""
    if each_process or is_first_process():
        tqdm.write(text)
