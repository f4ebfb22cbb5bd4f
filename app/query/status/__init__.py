"""The state of the whole installation, as one value: what the health page, the API and the command line show."""

from app.query.status.model import Status
from app.query.status.read import read_status

__all__ = ["Status", "read_status"]
