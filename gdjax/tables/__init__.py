"""From a table of any columns to arrays: kinds of columns, the task, the split of the rows, the encoding."""

from gdjax.tables.columns import Column as Column
from gdjax.tables.encoding import Encoding as Encoding
from gdjax.tables.encoding import fit_encoding as fit_encoding
from gdjax.tables.flags import Flags as Flags
from gdjax.tables.folds import Fold as Fold
from gdjax.tables.folds import split_folds as split_folds
from gdjax.tables.pixels import PixelEncoding as PixelEncoding
from gdjax.tables.pixels import fit_pixels as fit_pixels
from gdjax.tables.row_split import RowSplit as RowSplit
from gdjax.tables.row_split import split_rows as split_rows
from gdjax.tables.understanding import Understanding as Understanding
from gdjax.tables.understanding import understand as understand
