"""Rows that are read block by block, so that a data set may be larger than memory."""

from ppl_models.data.blocks.source import Blocks, open_blocks

__all__ = ["Blocks", "open_blocks"]
