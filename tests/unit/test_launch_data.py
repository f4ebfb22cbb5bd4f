"""Which server reads which data, and the message for data that no server can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.launch.data import Version, mark, trouble, written_by

STARTED = "1:M 26 Nov 2026 21:21:10.583 * Valkey version=9.1.2, bits=64, pid=1, just started\n"


@pytest.mark.parametrize(
    ("server", "writer", "reads"),
    [
        ("Redis server v=7.2.4", "Redis 7.2", True),
        ("Redis server v=7.10.0", "Redis 7.9", True),
        ("Redis server v=7.0.15", "Redis 7.2", False),
        ("Redis server v=6.2.1", "Redis 7.0", False),
        ("Valkey server v=9.1.2", "Redis 7.2", True),
        ("Valkey server v=9.1.2", "Redis 7.4", False),
        ("Redis server v=8.0.0", "Valkey 7.2", False),
        ("Valkey server v=8.1.0", "Valkey 9.0", False),
    ],
)
def test_a_server_reads_data_of_older_versions(server: str, writer: str, reads: bool) -> None:
    one, other = Version.parse(server), Version.parse(writer)
    assert one
    assert other
    assert one.reads(other) == reads
    assert str(other) == writer


def test_an_empty_folder_has_no_writer(tmp_path: Path) -> None:
    mark(tmp_path, Version("Redis", 7, 2))
    assert written_by(tmp_path) is None, "the data was moved away"
    (tmp_path / "appendonlydir").mkdir()
    assert written_by(tmp_path) == Version("Redis", 7, 2)
    (tmp_path / "written-by").write_bytes(b"\xff\x00")
    assert written_by(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "Can't handle RDB format version 99",
            "was written by a newer server (Can't handle RDB format version 99): set CANDLEWICK_LAUNCH_REDIS_SERVER to",
        ),
        ("Invalid AOF manifest file format", "is damaged (Invalid AOF manifest file format)"),
        ("Unable to obtain the AOF file a.base.rdb length. stat: No such file", "is damaged (Unable to obtain"),
        ("Short read or OOM loading DB. Unrecoverable error, aborting now.", "is damaged (Short read or OOM"),
        (
            "Unexpected end of file reading the append only file appendonly.aof.3.incr.aof. You can: 1) Make a backup",
            "appendonly.aof.3.incr.aof): truncate it at the damage with `redis-check-aof --fix "
            "'/d/appendonlydir/appendonly.aof.3.incr.aof'`, or move",
        ),
    ],
)
def test_a_server_s_complaint_about_its_data_is_reported_with_a_remedy(line: str, expected: str) -> None:
    text = trouble(f"{STARTED}1:M 26 Nov 2026 21:21:10.583 # {line}\n", Path("/d"))
    assert expected in (text or "")
    assert "move that folder away" in (text or "")


def test_other_errors_are_not_blamed_on_the_data() -> None:
    assert (
        trouble(f"{STARTED}1:M 26 Nov 2026 # Can't open or create append-only dir x: Permission denied\n", Path())
        is None
    )
    earlier = f"{STARTED}1:M 26 Nov 2026 # Invalid AOF manifest file format\n{STARTED}"
    assert trouble(earlier, Path()) is None, "that was another start"
