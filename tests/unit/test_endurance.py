"""How growth is detected."""

from __future__ import annotations

from tests.faults.endurance import Sample, uses


def hours(*memory: int, files: int = 5, more_files_at: float = 99) -> list[Sample]:
    """Twelve samples per hour, one of them an outlier."""
    return [
        Sample(hour + n / 12, "web", used * 10 if n == 3 else used, files + (hour + n / 12 > more_files_at), 2)
        for hour, used in enumerate(memory)
        for n in range(12)
    ]


def grew(*samples: Sample) -> list[str]:
    return [line for use in uses(samples) for line in use.grew]


def test_a_flat_use_after_the_first_hour_is_flat_despite_outliers() -> None:
    assert grew(*hours(10, 100, 104, 96, 100)) == []


def test_memory_that_grows_or_shrinks_is_found() -> None:
    assert grew(*hours(100, 100, 102, 104, 106)) == ["web: memory +6.0%"]
    assert grew(*hours(100, 100, 94)) == ["web: memory -6.0%"]


def test_files_that_stay_open_are_found() -> None:
    leak = [s._replace(files=int(s.hour)) for s in hours(100, 100, 100, 100, 100)]
    assert grew(*leak) == ["web: open files 1 to 4"]
    assert grew(*hours(100, 100, 100, more_files_at=1.9)) == [], "a connection that was opened late"


def test_every_process_is_judged_separately() -> None:
    other = [s._replace(process="beat") for s in hours(50, 50, 60)]
    assert grew(*hours(100, 100, 100), *other) == ["beat: memory +20.0%"]
