"""Coalesced requests: each is answered by a read that began after it, and no request waits for two failing reads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from app.web.coalescing import RequestCoalescer
from tests.support import PATIENCE_S


class BlockedRead:
    """A read that waits for `go`; its results contain its number."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.error: Exception | None = None
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, questions: Sequence[str]) -> list[str | Exception]:
        self.seen.append(list(questions))
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        if self.error:
            raise self.error
        return [ValueError(q) if q == "bad" else f"{q}{len(self.seen)}" for q in questions]

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_S)


async def start(together: RequestCoalescer[str, str], *questions: str) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(together.request(question)) for question in questions]
    await asyncio.sleep(0)  # now they wait
    return tasks


def test_requests_during_a_read_are_answered_once_by_the_next() -> None:
    async def main() -> None:
        reads = BlockedRead()
        together: RequestCoalescer[str, str] = RequestCoalescer(reads)
        first = await start(together, "a")
        await reads.has_begun()
        later = await start(together, "a", "b", "a", "bad")
        reads.go.release(2)
        assert await asyncio.gather(*first, *later[:3]) == ["a1", "a2", "b2", "a2"]
        with pytest.raises(ValueError, match="bad"):
            await later[3]
        assert reads.seen == [["a"], ["a", "b", "bad"]]
        reads.go.release()
        assert await together.request("a") == "a3"

    asyncio.run(main())


def test_a_failed_read_fails_all_waiting_requests_and_is_not_kept() -> None:
    async def main() -> None:
        reads = BlockedRead()
        together: RequestCoalescer[str, str] = RequestCoalescer(reads)
        first = await start(together, "a")
        await reads.has_begun()
        later = await start(together, "a", "b")
        reads.error = OSError("away")
        reads.go.release()
        assert [str(e) for e in await asyncio.gather(*first, *later, return_exceptions=True)] == ["away"] * 3
        assert reads.seen == [["a"]]
        reads.error = None
        reads.go.release()
        assert await together.request("b") == "b2"

    asyncio.run(main())


def test_a_cancelled_request_does_not_cancel_others() -> None:
    async def main() -> None:
        reads = BlockedRead()
        together: RequestCoalescer[str, str] = RequestCoalescer(reads)
        gone, stays = await start(together, "a", "a")
        gone.cancel()
        reads.go.release()
        assert await stays == "a1"

    asyncio.run(main())
