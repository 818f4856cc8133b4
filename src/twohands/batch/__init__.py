"""Runs over recordings: parts of a fixed length are processed one by one, then a sequential pass makes the result."""

from twohands.batch.account import Account
from twohands.batch.orders import Orders
from twohands.batch.part import Selection
from twohands.batch.run import BatchRun, Parallel, Tracking

__all__ = ["Account", "BatchRun", "Orders", "Parallel", "Selection", "Tracking"]
