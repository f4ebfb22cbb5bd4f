"""A local exchange with Coinbase Advanced Trade's protocol and faults. See `docs/local-exchange.md`."""

from simulator.exchange import LocalExchange
from simulator.market import Market, Product, Trades
from simulator.options import Options
from simulator.replay import ReplayMarket
from simulator.seeded import SeededMarket

__all__ = ["LocalExchange", "Market", "Options", "Product", "ReplayMarket", "SeededMarket", "Trades"]
