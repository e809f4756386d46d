"""The user and password that a visitor has to give, read from where no process list shows them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from enhancer.system.errors import EnhancerError

_USER, _PASSWORD = "ENHANCER_DEMO_USER", "ENHANCER_DEMO_PASSWORD"


class CredentialsError(EnhancerError):
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
        said = f"--password-file {password_file}"
        try:
            password = password_file.read_text().partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsError(f"{said} cannot be read ({error}).") from error
        if not password:
            raise CredentialsError(f"{said} is empty; its first line is the password.")
    if user is None and password is None:
        return None
    if user and password:
        return Credentials(user, password)
    given, missing, option, variable = "password", "user", "--user", _USER
    if user:
        given, missing, option, variable = "user", "password", "--password-file", _PASSWORD
    raise CredentialsError(f"There is a {given} and no {missing}; give {option} or set {variable}.")
