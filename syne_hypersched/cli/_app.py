"""The command ``hypersched`` and its subcommands."""

from __future__ import annotations

import difflib
import re
import shlex
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError, UnusedCliTokensError

from syne_hypersched._console import run_command
from syne_hypersched._terminal_text import shown_lines
from syne_hypersched._version import __version__
from syne_hypersched.cli import (
    _check,
    _compare,
    _completion,
    _demo,
    _explain,
    _export,
    _pool,
    _referee,
    _replay,
    _report,
    _resume,
    _tune,
    _verify,
    _watch,
)

#: How arguments are passed to the script, by command.
_WAYS_TO_THE_SCRIPT = {
    "check": "Options of the script follow the script: hypersched check {script} --lr 0.1",
    "tune": "Arguments of the script are given in the space, even constants: --space lr=0.1 (docs/scripts.md)",
}
#: Minimum similarity (0 to 1) at which a known option is suggested instead of an unknown one.
_ALIKE = 0.66

EXIT_USAGE = 2
"""Exit code for an invalid command line, and for a run that cannot be read."""

HELP = """\
Tune training scripts by a deadline, look at experiments, change and
continue them, and compare schedulers.

RUN is the name of an experiment (tuner.name) or its folder. Experiments are in
~/syne-tune, or in the folder that the environment variable SYNETUNE_FOLDER names.
"""

EPILOGUE = """\
Examples:
  hypersched demo
  hypersched tune train.py --metric val_loss --min --resource epoch:81 \\
      --space 'lr=log(1e-4,1e-1)' 'width=[8,16]' --deadline 2h
  hypersched report digits-2026-01-31-12-00-00-123
  hypersched watch digits-2026-01-31-12-00-00-123 --open
  hypersched verify ~/syne-tune/digits-2026-01-31-12-00-00-123
  hypersched pool digits-2026-01-31-12-00-00-123 --devices 2
  hypersched compare --schedulers hypersched,asha --deadline 30m
  hypersched report --help

Exit codes: 0 success; 1 a rule is violated, or a run has failed; 2 wrong
arguments, or a run that cannot be read; 130 interrupted.
"""


app = App(
    name="hypersched",
    help=HELP,
    help_format="plaintext",
    version=__version__,
    help_epilogue=EPILOGUE,
    # A flag has only one spelling, without --no-FLAG and --empty-LIST. If an option is repeated, the last value counts.
    default_parameter=Parameter(negative=(), allow_repeating=True),
)
_COMMANDS: dict[Callable[..., int], str] = {
    _tune.tune: _tune.EPILOGUE,
    _demo.demo: _demo.EPILOGUE,
    _report.report: _report.EPILOGUE,
    _watch.watch: _watch.EPILOGUE,
    _explain.explain: _explain.EPILOGUE,
    _replay.replay: _replay.EPILOGUE,
    _export.export: _export.EPILOGUE,
    _verify.verify: _verify.EPILOGUE,
    _resume.resume: _resume.EPILOGUE,
    _pool.pool: _pool.EPILOGUE,
    _compare.compare: _compare.EPILOGUE,
    _referee.referee: _referee.EPILOGUE,
    _check.check: _check.EPILOGUE,
    _completion.completion_of(app): _completion.EPILOGUE,
}
_COMMAND_NAMES = frozenset(command.__name__ for command in _COMMANDS)

for _command, _epilogue in _COMMANDS.items():
    app.command(_command, help_epilogue=_epilogue)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Parameters
    ----------
    arguments
        Arguments after ``hypersched``; by default those of this process.

    Returns
    -------
    int
        Exit code of the command; 2 if the command does not exist or its arguments are invalid.
    """
    tokens = _join_negative(_report.spell_out(sys.argv[1:] if arguments is None else arguments))
    if tokens[:1] == ["check"] and (fault := _check.misspelt(tokens[1:], _options_of("check"))):
        return _refuse(fault, tokens)
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _refuse(_why(error, tokens), tokens)
    if command in _COMMANDS:
        return int(command(*bound.args, **bound.kwargs))
    try:
        command(*bound.args, **bound.kwargs)  # prints help or the version
    except SystemExit:
        # Rich ends the process if its output is no longer read.
        raise BrokenPipeError from None
    return 0


def _options_of(command: str) -> set[str]:
    """The options of a command, as users type them."""
    options = {name for argument in app[command].assemble_argument_collection() for name in argument.names}
    return options | {"--help", "--version"}


def _refuse(message: str, tokens: Sequence[str]) -> int:
    print(f"hypersched: {shown_lines(message)}\nTry: {_help_command(tokens)}", file=sys.stderr)
    return EXIT_USAGE


def _why(error: CycloptsError, tokens: Sequence[str]) -> str:
    """What is wrong with the arguments, in words."""
    if isinstance(error, UnknownOptionError) and tokens[0] in _COMMAND_NAMES:
        name = (error.token.keyword or error.token.value).partition("=")[0]
        near = difflib.get_close_matches(name, _options_of(tokens[0]), n=1, cutoff=_ALIKE)
        if near:
            return f"Unknown option: {name}. Did you mean {near[0]}?"
        script = next((token for token in tokens[1:] if token.endswith(".py")), "train.py")
        way = _WAYS_TO_THE_SCRIPT.get(tokens[0], "").format(script=shlex.quote(script))
        return f"Unknown option: {name}. {way}".rstrip()
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        tokens = " ".join(error.unused_tokens)
        return f"unexpected: {tokens}. Several values of one option are separated by commas, without spaces"
    return str(error)


def run(arguments: Sequence[str] | None = None) -> int:
    """The entry point: calls :func:`main`. Prints no traceback if the output is no longer read, or after Ctrl-C.

    Parameters
    ----------
    arguments
        Arguments after ``hypersched``; by default those of this process.
    """
    return run_command(lambda: main(arguments))


def _join_negative(tokens: Sequence[str]) -> list[str]:
    """The tokens with ``--deadline -5s`` as ``--deadline=-5s``.

    Otherwise the value would look like an option, and the message would not tell which value is wrong and why.
    """
    joined: list[str] = []
    for position, token in enumerate(tokens):
        if token == "--":
            return [*joined, *tokens[position:]]
        follows_option = bool(joined) and joined[-1].startswith("--") and "=" not in joined[-1]
        if follows_option and re.match(r"-\.?\d", token):
            joined[-1] += f"={token}"
        else:
            joined.append(token)
    return joined


def _help_command(tokens: Sequence[str]) -> str:
    known = [tokens[0]] if tokens and tokens[0] in app else []
    return shlex.join(["hypersched", *known, "--help"])
