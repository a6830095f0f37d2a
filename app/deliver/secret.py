"""A secret by where it is: an environment variable or a file, read anew each time it is used."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Secret:
    """One of the two. Its own text never has what it stands for."""

    variable: str | None = None
    file: Path | None = None

    def read(self) -> str:
        """Without the line break at its end. Raises OSError that says where it is missing."""
        if self.variable is not None:
            found = os.environ.get(self.variable, "").strip("\r\n")
            if not found:
                raise OSError(2, f"the environment has no {self.variable}; set it")
            if not found.isprintable():  # what is made of it would say so, and show it
                raise OSError(22, f"the environment's {self.variable}: expected one line of text")
            return found
        file = self.file or Path()
        try:
            found = file.read_text(encoding="utf-8").strip("\r\n")
        except OSError as error:
            raise OSError(error.errno, f"{file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise OSError(22, f"{file}: expected text") from None
        if not found or not found.isprintable():
            raise OSError(22, f"{file}: expected one line of text")
        return found
