"""A power cut loses data that are not on the disk: with `appendfsync everysec`, about the last second of writes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.faults.verdict import judge
from tests.faults.world import PROCESSES, World, world
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.0)]

PRODUCTS = 4


def newest_file(world: World) -> Path:
    return max((world.folder / "redis").rglob("*.incr.aof"), key=lambda path: path.stat().st_mtime)


def test_a_lost_second_of_writes_comes_back_and_its_alerts_keep_their_ids(tmp_path: Path) -> None:
    with world(tmp_path, PRODUCTS, 7, *PROCESSES) as everything:
        eventually(lambda: everything.system.has_started(PRODUCTS), interval=0.2)
        everything.has_started()
        kept = size = newest_file(everything).stat().st_size
        seen_s = kept_s = time.monotonic()
        before = len(everything.hook.accepted)

        def an_alert_arrives() -> bool:
            """`kept`: the size of the file at the check before the alert arrived, some tenths of a second earlier."""
            nonlocal size, kept, seen_s, kept_s
            if len(everything.hook.accepted) > before:
                return True
            kept, kept_s, seen_s = size, seen_s, time.monotonic()
            size = newest_file(everything).stat().st_size
            return False

        eventually(an_alert_arrives, interval=0.5)
        with everything.down(signal.SIGKILL, redis=True):
            accepted = list(everything.hook.accepted)
            file = newest_file(everything)
            assert 0 < kept < file.stat().st_size
            with file.open("r+b") as cut:
                cut.truncate(kept + 1)  # in the middle of a command
            everything.losses.append((kept_s, time.monotonic()))
        verdict = judge(everything)
        assert verdict.broken == []
        stored, _ = everything.system.context.alerts.newest(10_000, lambda _: True)
        known = {alert.id for alert in stored}
        assert {name.rsplit("|", 1)[0] for name in accepted} <= known, "each that was told is found again"
        assert {name.rsplit("|", 1)[0] for name in everything.hook.accepted} <= known, "and none under another name"
        again = [name for name in accepted[before:] if everything.hook.accepted.count(name) > 1]
        print(f"told again after the cut, under the same name: {again}")
