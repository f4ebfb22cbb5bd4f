"""Questions that come while others are being answered are answered together, by one look at Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class RequestCoalescer(Generic[Question, Answer]):
    """Lives in one event loop. `read` runs in a thread, one look at a time; it answers each question, in their order.

    A look takes all that was asked before it began, and nothing later: no answer is older than its question. The same
    question of many is looked at once. An answer that is an exception is raised to who asked; one that `read` raises,
    to all who wait by then, so that nobody waits for Redis longer than one look does.
    """

    def __init__(self, read: Callable[[Sequence[Question]], Sequence[Answer | Exception]]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, "together")
        self._waiting: dict[Question, asyncio.Future[Answer | Exception]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        future = self._waiting.get(question)
        if future is None:
            future = self._waiting[question] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_on())
        answer = await asyncio.shield(future)  # one who goes away does not take it from the others
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _read_on(self) -> None:
        """Look until nobody waits."""
        loop = asyncio.get_running_loop()
        try:
            while asked := self._take():
                try:
                    answers = await loop.run_in_executor(self._thread, self._read, list(asked))
                except Exception as error:
                    for future in (*asked.values(), *self._take().values()):
                        future.set_result(error)
                else:
                    for future, answer in zip(asked.values(), answers, strict=True):
                        future.set_result(answer)
        finally:
            self._reading = None

    def _take(self) -> dict[Question, asyncio.Future[Answer | Exception]]:
        """All who wait; from now on nobody does."""
        taken, self._waiting = self._waiting, {}
        return taken
