"""A local exchange that speaks Coinbase Advanced Trade's protocol, with its faults. See `docs/local-exchange.md`."""

from app.exchange.local.exchange import LocalExchange
from app.exchange.local.market import Market, Product, Trades
from app.exchange.local.options import Options
from app.exchange.local.replay import ReplayMarket
from app.exchange.local.seeded import SeededMarket

__all__ = ["LocalExchange", "Market", "Options", "Product", "ReplayMarket", "SeededMarket", "Trades"]
