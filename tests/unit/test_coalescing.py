"""Questions that are answered together: each by a look that began after it, nobody waits for two looks that fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from app.web.coalescing import RequestCoalescer


class Looks:
    """A look that waits until it is let go; it answers with its own number."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.error: Exception | None = None
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, asked: Sequence[str]) -> list[str | Exception]:
        self.seen.append(list(asked))
        self.begun.release()
        assert self.go.acquire(timeout=10)
        if self.error:
            raise self.error
        return [ValueError(q) if q == "bad" else f"{q}{len(self.seen)}" for q in asked]

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)


async def ask(together: RequestCoalescer[str, str], *questions: str) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(together.ask(question)) for question in questions]
    await asyncio.sleep(0)  # now they wait
    return tasks


def test_what_comes_during_a_look_is_answered_by_the_next_one_and_once() -> None:
    async def main() -> None:
        looks = Looks()
        together: RequestCoalescer[str, str] = RequestCoalescer(looks)
        first = await ask(together, "a")
        await looks.has_begun()
        later = await ask(together, "a", "b", "a", "bad")
        looks.go.release(2)
        assert await asyncio.gather(*first, *later[:3]) == ["a1", "a2", "b2", "a2"]
        with pytest.raises(ValueError, match="bad"):
            await later[3]
        assert looks.seen == [["a"], ["a", "b", "bad"]]
        looks.go.release()
        assert await together.ask("a") == "a3"

    asyncio.run(main())


def test_a_look_that_fails_is_told_to_all_who_wait_and_forgotten() -> None:
    async def main() -> None:
        looks = Looks()
        together: RequestCoalescer[str, str] = RequestCoalescer(looks)
        first = await ask(together, "a")
        await looks.has_begun()
        later = await ask(together, "a", "b")
        looks.error = OSError("away")
        looks.go.release()
        assert [str(e) for e in await asyncio.gather(*first, *later, return_exceptions=True)] == ["away"] * 3
        assert looks.seen == [["a"]]
        looks.error = None
        looks.go.release()
        assert await together.ask("b") == "b2"

    asyncio.run(main())


def test_one_who_goes_away_does_not_take_the_answer_from_others() -> None:
    async def main() -> None:
        looks = Looks()
        together: RequestCoalescer[str, str] = RequestCoalescer(looks)
        gone, stays = await ask(together, "a", "a")
        gone.cancel()
        looks.go.release()
        assert await stays == "a1"

    asyncio.run(main())
