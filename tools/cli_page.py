"""Writes docs/cli.md, the page of the command line, from its arguments. A test says when it is stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/cli.md"

HEAD = """<!-- Written by `make docs` from app/cli/arguments.py. -->

# Command line

`candlewick COMMAND`, if it is installed; `.venv/bin/python -m candlewick COMMAND` in a checkout. `candlewick --version`
prints the version, `candlewick COMMAND --help` the arguments of a command.

A command finds the running installation of the current folder (in a checkout: of the checkout), or else of the user:
`demo` and `run` leave a file with their state, which only the user can read. `--installation` chooses one of several.
`REDIS_URL` names the Redis of an installation that runs elsewhere.

| exit code | meaning |
|---:|---|
| 0 | fine; `status`: the data is complete and current |
| 1 | not ready, or not found |
| 2 | wrong input or settings |
| 3 | Redis is not reachable |

Completion: `candlewick completion bash > ~/.local/share/bash-completion/completions/candlewick`, or
`candlewick completion fish > ~/.config/fish/completions/candlewick.fish`; for zsh, into the file `_candlewick` of a
folder in `$fpath`.
"""


def page() -> str:
    """The page as it should be."""
    sys.path.insert(0, str(ROOT))
    from app.cli.arguments import parser

    lines = [HEAD]
    for group, commands in parser().groups.items():
        lines.append(f"## {group[0].upper()}{group[1:]}\n")
        for name, command in commands.items():
            lines.append(f"### {name}\n\n`{usage(command)}`\n\n{sentence(str(command.description))}\n")
            if rows := list(arguments(command)):
                lines.append("| argument | meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(lines)


def usage(command: argparse.ArgumentParser) -> str:
    """The name of the command and its positional arguments."""
    return " ".join([command.prog, *(shown(a) for a in command._actions if not a.option_strings)])


def shown(action: argparse.Action) -> str:
    """A positional argument as it is typed."""
    name = str(action.metavar or "|".join(map(str, action.choices or [action.dest])))
    return name if action.nargs != "?" or name.startswith("[") else f"[{name}]"


def arguments(command: argparse.ArgumentParser) -> Iterator[str]:
    """A row for each argument that is explained; those of actions such as `alerts test` too."""
    for action in sorted(command._actions, key=lambda action: bool(action.option_strings)):
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield f"| `{name} {' '.join(shown(a) for a in inner._actions[1:])}` | {inner.description} |"
        elif action.help not in (None, argparse.SUPPRESS) and action.dest != "help":
            text = str(action.help) % {**vars(action), "prog": command.prog}
            yield f"| `{option(action) if action.option_strings else shown(action)}` | {text} |"


def option(action: argparse.Action) -> str:
    """An option as it is typed."""
    value = str(action.metavar or " or ".join(action.choices or ()))
    return " ".join(filter(None, (*action.option_strings, f"[{value}]" if action.nargs == "?" else value)))


def sentence(text: str) -> str:
    """`text` with a capital, and a full stop unless it ends otherwise."""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
