"""The commands of the documentation: which of its code blocks are executed, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools import markdown
from tools.markdown import Block

EXECUTED = ("sh", "python")
SHOWN = ("http", "ini", "js", "json", "text", "toml")
"""Languages of blocks that are not for a terminal."""

MARK = re.compile(
    r"(?P<kind>not run|slow|until|fresh environment|slow, fresh environment)(?:: (?P<text>.+))?", re.DOTALL
)
PUBLISHED = {"web": 8000, "flower": 5555, "exchange": 8900}
"""Ports in the documentation, by what listens there."""

IN_CHECKOUT = re.compile(r"^(make |\.venv/|pip install \.)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Command:
    """A block that a reader would execute. `reason`: why it is not run, or slow. `until`: text after which it is
    interrupted, "" if it ends without that.
    """

    block: Block
    is_run: bool = True
    is_slow: bool = False
    is_fresh: bool = False
    reason: str = ""
    until: str = ""

    @classmethod
    def of(cls, block: Block) -> Command:
        """Raises `ValueError` if the comment before the block is not one of those in docs/testing.md."""
        found = MARK.fullmatch(block.mark)
        if found is None:
            if block.mark.partition(":")[0] in ("skip", "run", "test") or "fresh" in block.mark:
                raise ValueError(f"{block.place}: {block.mark!r}: see docs/testing.md for the comments that are known")
            return cls(block)
        kind, text = found["kind"], " ".join((found["text"] or "").split())
        if kind != "fresh environment" and not text:
            raise ValueError(f"{block.place}: {kind}: give the reason, or the text to wait for")
        return cls(
            block,
            is_run=kind != "not run",
            is_slow=kind.startswith("slow"),
            is_fresh=kind.endswith("fresh environment"),
            reason="" if kind == "until" else text,
            until=text if kind == "until" else "",
        )

    @property
    def is_in_checkout(self) -> bool:
        """Whether it is typed in a checkout, not in any folder."""
        return bool(IN_CHECKOUT.search(self.block.text))

    def script(self, ports: dict[str, int]) -> str:
        """Its text, with the ports of what runs in a test in the place of the published ones."""
        text = self.block.text
        for name, port in ports.items():
            text = re.sub(rf"(127\.0\.0\.1:|localhost:|--port ){PUBLISHED[name]}\b", rf"\g<1>{port}", text)
        return text


def blocks() -> list[Block]:
    """Every code block of the documentation."""
    return [block for page in markdown.pages() if page.name != "CHANGELOG.md" for block in markdown.blocks(page)]


def commands() -> list[Command]:
    """Every command of the documentation."""
    return [Command.of(block) for block in blocks() if block.language in EXECUTED]
