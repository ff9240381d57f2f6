"""How much memory the package takes: one budget for each purpose, in one place.

Work on many rows, draws or cells is cut into blocks, so that memory is bounded whatever their
number, and results that would be too large are thinned or left out. "Numbers" are elements of
arrays, 8 bytes each in double precision, 4 in single; where a budget counts bytes its name says so.
A computer with little memory may lower them before it fits anything::

    from ppl_models import memory
    memory.BLOCK_NUMBERS = 1_000_000
"""

from __future__ import annotations

# ---- one pass over the data, in chunks of rows ---------------------------------------------------

#: What a pass has at hand of a chunk: it stays in a core's own cache.
CACHE_BYTES = 200_000
#: Steps of sequences that a pass looks up at once, for the same reason.
CACHE_STEPS = 65_536
#: Fewest and most rows of a chunk, whatever fits the cache.
CHUNK_ROWS = (500, 20_000)
#: A chunk of rows that need more than that has fewer rows than the fewest.
CHUNK_BYTES = 1_000_000_000
#: What a pass has at hand of a chunk on a GPU or TPU; no more than a sixteenth of its memory.
WIDE_BYTES = 4_000_000_000
#: Rows that such a device adds up in one piece; a chunk is whole pieces.
WIDE_ROWS = 2_048
#: Padding that sequences of one width may have; above it they are parted by length.
PADDING_BYTES = 100_000_000
#: Rows whose distances from all centres are computed at once.
DISTANCE_ROWS = 32_768

# ---- blocks of other work ------------------------------------------------------------------------

#: Numbers that a block of work holds, where nothing below says otherwise.
BLOCK_NUMBERS = 4_000_000
#: Of densities at many draws: draw x cluster x row.
DENSITY_NUMBERS = 8_000_000
#: Rows of such a block.
DENSITY_ROWS = 20_000
#: Draw x cell x point at which rows' continuous sites are integrated out as a fit ends.
INTEGRATED_NUMBERS = 500_000_000
#: Data of so few numbers are one block, whatever a row needs.
SMALL_DATA_NUMBERS = 500_000
#: Of cells at all combinations of several discrete sites that are summed out together.
COMBINED_NUMBERS = 5_000_000
#: Rows whose clusters and densities `predict_to` writes at once.
PREDICTED_ROWS = 65_536
#: Of a recursion over gaps in sequences: sequence x context.
RECURSION_NUMBERS = 2_000_000
#: Of work on labels and partitions in NumPy.
LABEL_BYTES = 64_000_000
#: Draws x rows that a partition is looked for by.
PARTITION_NUMBERS = 200_000_000
#: Piece of a file that is read at once.
FILE_BLOCK_BYTES = 1 << 24
#: Block of such rows when it is prepared for passes.
PREPARED_BLOCK_BYTES = 1 << 24
#: Draws of one compiled block of sweeps.
DRAW_BLOCK_BYTES = 1 << 26
#: Replicated data that a predictive check holds.
REPLICATED_NUMBERS = 20_000_000

#: Kinds of steps of sequences that profiles of sequences tell apart, when starts are looked for.
PROFILE_CELLS = 1_000

# ---- several things side by side -----------------------------------------------------------------

#: Start x cluster x row, below which EM moves all starts side by side.
STARTS_NUMBERS = 1_000_000
#: The same on a GPU or TPU.
WIDE_STARTS_NUMBERS = 100_000_000
#: What a pass over data sets side by side has at hand.
LANES_BYTES = 16_000_000
#: The same on a GPU or TPU.
WIDE_LANES_BYTES = 2_000_000_000
#: Responsibilities of all draws that are kept for a second look instead of being computed again.
RESPONSIBILITY_BYTES = 512_000_000

#: Data of fits whose programs stay read for the next question; larger ones are read again.
REMEMBERED_BYTES = 32_000_000

# ---- what is kept --------------------------------------------------------------------------------

#: Predictive data in a tree.
KEPT_PREDICTIVE = 2_000_000
#: Pointwise log-likelihood in a tree; draws are thinned.
KEPT_LOG_LIKELIHOOD = 40_000_000
#: Responsibilities in a tree; left out above.
KEPT_RESPONSIBILITIES = 20_000_000
#: Deterministic sites of the rows in a tree; left out above.
KEPT_ROW_SITES = 20_000_000
#: Computed emission parameters in a tree; draws are thinned.
KEPT_PARAMETERS = 20_000_000
#: Values at every iteration of one compiled block of EM; not recorded above.
KEPT_PATH = 2_000_000
#: Rows in blocks that Gibbs sampling holds, as passes need them; above it every sweep reads them.
HELD_BLOCKS_BYTES = 256_000_000
#: Statistics of all mini-batches that stochastic EM keeps; above it neighbours share theirs.
KEPT_STATISTICS_BYTES = 256_000_000
#: Draws of a sampler that wait to be written to a checkpoint.
WAITING_DRAWS_BYTES = 1 << 28
#: Draws of all sites by ``method="exact"``: 4 GB in double precision.
KEPT_EXACT_DRAWS = 500_000_000

#: Compiled programs in the folder that keeps them between processes: a fit's are 2 to 10 MB.
CACHE_FOLDER_BYTES = 1_000_000_000

#: Where the chains of a sampler ended, in a tree, from which `extend` goes on; left out above.
KEPT_STATE_BYTES = 1 << 26

# ---- data ---------------------------------------------------------------------------------------

#: Cells of one array of data, padding included.
DATA_NUMBERS = 2**31
#: Cells after the ends of sequences: a gigabyte, and a fit needs some ten times as much.
DATA_PADDING = 2**27

#: Rows of a table that is written out by the rows' weights.
REPEATED_ROWS = 1_000_000

# ---- sizes of tables -----------------------------------------------------------------------------

#: Transitions of an ``ordered_chain``.
TRANSITION_NUMBERS = 4_000_000
