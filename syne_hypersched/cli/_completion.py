"""The command ``completion``."""

from __future__ import annotations

from typing import Literal

EPILOGUE = """\
Examples:
  source <(hypersched completion bash)
  hypersched completion zsh > ~/.zfunc/_hypersched
  hypersched completion fish > ~/.config/fish/completions/hypersched.fish

Exit codes: 0; 2 if the shell is unknown.
"""


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion of commands and options for a shell.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from syne_hypersched.cli._app import app

    print(app.generate_completion(prog_name="hypersched", shell=shell), end="")
    return 0
