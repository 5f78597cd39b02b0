"""The command ``completion``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from cyclopts import App

EPILOGUE = """\
Examples:
  source <(hypersched completion bash)
  hypersched completion zsh > ~/.zfunc/_hypersched
  hypersched completion fish > ~/.config/fish/completions/hypersched.fish

Exit codes: 0; 2 if the shell is unknown.
"""

Shell = Literal["bash", "zsh", "fish"]


def completion_of(app: App) -> Callable[[Shell], int]:
    """The command that prints the completion of an application."""

    def completion(shell: Shell, /) -> int:
        """Print the completion of commands and options for a shell.

        Parameters
        ----------
        shell
            bash, zsh or fish.
        """
        print(app.generate_completion(prog_name="hypersched", shell=shell), end="")
        return 0

    return completion
