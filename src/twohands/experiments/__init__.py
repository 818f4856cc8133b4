"""The comparisons of the paper: each table is trained, measured and written by one command."""

from twohands.experiments.rows import ROWS, TABLES
from twohands.experiments.run import run_tables
from twohands.experiments.tables import write_tables

__all__ = ["ROWS", "TABLES", "run_tables", "write_tables"]
