"""Settings: name, type, unit, default and meaning of each; where their values come from; what is wrong with them."""

from app.settings.exchanges import ExchangeSettings
from app.settings.model import Settings

__all__ = ["ExchangeSettings", "Settings"]
