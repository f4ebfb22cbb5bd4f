"""What may never be said: that a candle is certain when it is not the truth, were it for a moment. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from app.candles import State
from app.records import EMPTY, PROVISIONAL, STATE_MASK

if TYPE_CHECKING:
    from app.records import Records
    from tests.simulation.market import Tape


def untrue(tape: Tape, step_s: int, records: Records) -> Iterator[tuple[int, str]]:
    """The start of each of `records` that is called certain and is not what `tape` has, and what is wrong with it.

    Certain is what is closed or confirmed, and not provisional.
    """
    flags = records["flags"]
    sure = records[((flags & STATE_MASK) >= State.CLOSED) & ((flags & PROVISIONAL) == 0)]
    truth, places = tape.columns(step_s), (sure["start_s"].astype(np.int64) - tape.first_s) // step_s
    known = (places >= 0) & (places < len(truth.traded))
    sure, places = sure[known], places[known]
    empty, traded = (sure["flags"] & EMPTY) != 0, truth.traded[places]
    same = np.ones(len(sure), dtype=bool)
    for name in ("open", "high", "low", "close", "volume"):
        same &= sure[name] == getattr(truth, name)[places]
    for i in np.flatnonzero(np.where(empty, traded, ~traded | ~same)).tolist():
        word = "confirmed" if sure["flags"][i] & STATE_MASK == State.CONFIRMED else "closed"
        yield int(sure["start_s"][i]), f"{word} as {'empty' if empty[i] else sure[i].tolist()[3:]}"
