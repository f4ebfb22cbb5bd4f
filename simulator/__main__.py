"""`python -m simulator`: runs a local exchange."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from app.errors import InvalidInput
from simulator.clock import ExchangeClock, anchored
from simulator.frames import rfc3339_nano
from simulator.market import Market
from simulator.options import Options
from simulator.replay import ReplayMarket
from simulator.seeded import SeededMarket
from simulator.server import Server
from simulator.trade_log import TradeLog

log = logging.getLogger("simulator")


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code: 0, or 2 if an argument is invalid."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        return asyncio.run(_serve(asked))
    except InvalidInput as problem:
        print(f"error: {problem}", file=sys.stderr)
    except OSError as problem:
        why = os.strerror(problem.errno) if problem.errno else problem
        print(f"error: cannot listen on {asked.host}:{asked.port}: {why}", file=sys.stderr)
    return 2


async def _serve(asked: argparse.Namespace) -> int:
    options = _options(asked.option)
    market, clock = _market_and_clock(asked)
    server = Server(TradeLog(market), clock, options)
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    port = await server.start(asked.host, asked.port)
    log.info(
        "local exchange: ws://%s:%d and http://%s:%d, %d products, %s at speed %g",
        asked.host, port, asked.host, port, len(market.products), rfc3339_nano(clock.now_ns()), clock.speed,
    )  # fmt: skip
    told = asyncio.create_task(stopped.wait())
    await asyncio.wait({told, *filter(None, [server.feeding])}, return_when=asyncio.FIRST_COMPLETED)
    await server.stop()
    log.info("local exchange: stopped")
    return 0


def _market_and_clock(asked: argparse.Namespace) -> tuple[Market, ExchangeClock]:
    wall_ms = time.time_ns() // 1_000_000
    replay = ReplayMarket(asked.market_data) if asked.market_data else None
    start_ms = asked.start or (sum(replay.span_s) // 2 * 1000 if replay else wall_ms)
    now_ms, opened_ms = start_ms, start_ms
    if asked.anchor_file:
        anchor = anchored(asked.anchor_file, start_ms, asked.speed, wall_ms)
        now_ms, opened_ms = anchor.exchange_ms(wall_ms), anchor.opened_ms
    market = replay or SeededMarket(asked.seed, start_s=opened_ms // 1000, products=asked.products)
    return market, ExchangeClock(now_ms, asked.speed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description="An exchange on this machine: Coinbase Advanced Trade's WebSocket and REST, at any speed.",
        epilog="Controls: GET /local/clock, /local/truth, /local/ledger, /local/faults; see docs/local-exchange.md.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    add("--port", type=_port, default=8900, help="port for WebSocket, REST and controls; 0 picks one (default: 8900)")
    add("--speed", type=float, default=1.0, help="exchange seconds per real second (default: 1)")
    add("--seed", type=int, default=7, help="seed of the generated market (default: 7)")
    add("--products", type=int, help="number of products of the generated market (default: the standard 33)")
    add(
        "--market-data",
        type=Path,
        metavar="PATH",
        help="replay candle files like ETH-BTC-5m.csv.gz, or a recording of doctor, instead",
    )
    add("--start", type=_time_ms, metavar="TIME", help="exchange time at the start, such as 2021-03-04T00:00:00Z")
    add("--anchor-file", type=Path, metavar="FILE", help="store the start time here: a restart continues in time")
    add(
        "--option", action="append", default=[], metavar="NAME=VALUE", help=f"one of: {', '.join(Options.model_fields)}"
    )
    return parser


def _options(settings: list[str]) -> Options:
    try:
        return Options.model_validate_strings(dict(setting.split("=", 1) for setting in settings))
    except ValidationError as problem:
        details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors())
        raise InvalidInput(f"--option: {details}; see --help") from None
    except ValueError:
        raise InvalidInput(f"--option: {settings}: expected NAME=VALUE for each") from None


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and 65535")
    return port


def _time_ms(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2021-03-04T00:00:00Z") from None
    return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)


if __name__ == "__main__":
    sys.exit(main())
