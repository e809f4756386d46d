"""The user and password that a visitor has to give, read from where no process list shows them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

_USER, _PASSWORD = "ENHANCER_DEMO_USER", "ENHANCER_DEMO_PASSWORD"


class CredentialsError(ValueError):
    """User or password is missing; the message says what to give."""


@dataclasses.dataclass(frozen=True)
class Credentials:
    user: str
    password: str = dataclasses.field(repr=False)


def read_credentials(
    user: str | None, password_file: Path | None, environment: Mapping[str, str]
) -> Credentials | None:
    """Return what visitors have to give, or None when the page is open to everybody.

    What is not given is taken from `ENHANCER_DEMO_USER` and `ENHANCER_DEMO_PASSWORD`. Raises
    CredentialsError if only one of the two is there, or the file holds no password.
    """
    user, password = user or environment.get(_USER), environment.get(_PASSWORD)
    if password_file is not None:
        try:
            password = (password_file.read_text().splitlines() or [""])[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsError(
                f"--password-file {password_file} cannot be read ({error})."
            ) from error
        if not password:
            raise CredentialsError(
                f"--password-file {password_file} is empty; its first line is the password."
            )
    if user is None and password is None:
        return None
    if not user:
        raise CredentialsError(f"There is a password and no user; give --user or set {_USER}.")
    if not password:
        raise CredentialsError(
            f"There is a user and no password; give --password-file or set {_PASSWORD}."
        )
    return Credentials(user, password)
