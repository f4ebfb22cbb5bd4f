"""The state of the whole installation as one value, for the health page, the API and the command line."""

from app.query.status.model import Status
from app.query.status.read import read_status

__all__ = ["Status", "read_status"]
