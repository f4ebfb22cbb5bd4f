"""Coalesces requests: all that arrive during a read of Redis are answered by the next read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class RequestCoalescer(Generic[Question, Answer]):
    """Bound to one event loop. `read` runs in a thread, one call at a time; it answers the questions in order.

    A call takes all questions that came before it began, and no later ones: no answer is older than its question. Equal
    questions are read once. An answer that is an exception is raised to its callers. An exception from `read` is raised
    to all callers that wait by then, so that none waits for Redis longer than one call.
    """

    def __init__(self, read: Callable[[Sequence[Question]], Sequence[Answer | Exception]]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, "together")
        self._waiting: dict[Question, asyncio.Future[Answer | Exception]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def request(self, question: Question) -> Answer:
        future = self._waiting.get(question)
        if future is None:
            future = self._waiting[question] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_on())
        answer = await asyncio.shield(future)  # a cancelled caller does not cancel the others
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _read_on(self) -> None:
        """Read until none waits."""
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
        """Take all waiting questions."""
        taken, self._waiting = self._waiting, {}
        return taken
