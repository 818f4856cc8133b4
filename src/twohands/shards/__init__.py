"""Samples on disk, 50 to a tar file: `write_shards` stores a data set, and `Shards` reads it back.

A folder holds `shard-00000.tar`, ... and `index.json`: the request, and the size, checksums and file positions of every
finished shard. Any `Sample` can be stored. Reading needs neither the data engine nor numba.
"""

from twohands.shards.reading import Shards
from twohands.shards.writing import write_shards

__all__ = ["Shards", "write_shards"]
