"""Data: sources, files and texts; rows on disk (stream), splitting and scaling (arrays), the rows of each batch (order)."""

from typing import TYPE_CHECKING

from gdjax.data.arrays import Dataset as Dataset
from gdjax.data.arrays import Scaling as Scaling
from gdjax.data.arrays import as_arrays as as_arrays
from gdjax.data.arrays import fit_scaling as fit_scaling
from gdjax.data.arrays import hash_of as hash_of
from gdjax.data.arrays import num_rows as num_rows
from gdjax.data.arrays import split as split
from gdjax.data.arrays import standardize as standardize
from gdjax.data.arrays import take as take
from gdjax.data.arrays import to_device as to_device
from gdjax.data.arrays import unstandardize as unstandardize
from gdjax.data.augmentations import crop as crop
from gdjax.data.augmentations import flip as flip
from gdjax.data.augmentations import noise as noise
from gdjax.data.augmentations import shift as shift
from gdjax.data.errors import DataError as DataError
from gdjax.data.loaders import Batches as Batches
from gdjax.data.loaders import is_loader as is_loader
from gdjax.data.order import batch_indices as batch_indices
from gdjax.data.order import batches_per_epoch as batches_per_epoch
from gdjax.data.order import permute as permute
from gdjax.data.order import shard_indices as shard_indices
from gdjax.data.rows import as_rows as as_rows
from gdjax.data.sources import SOURCES as SOURCES
from gdjax.data.sources import describe as describe
from gdjax.data.sources import load as load
from gdjax.data.stream import MappedRows as MappedRows
from gdjax.data.stream import is_source as is_source
from gdjax.data.stream import open_rows as open_rows
from gdjax.data.stream import write_rows as write_rows
from gdjax.data.table import Table as Table
from gdjax.data.text import CORPORA as CORPORA
from gdjax.data.text import UNITS as UNITS
from gdjax.data.text import Corpus as Corpus
from gdjax.data.text import Vocabulary as Vocabulary
from gdjax.data.text import Windows as Windows
from gdjax.data.text import python_docs as python_docs
from gdjax.data.text import read_codes as read_codes
from gdjax.data.text import read_corpus as read_corpus
from gdjax.first_touch import import_on_first_touch

if TYPE_CHECKING:
    from gdjax.data.conversion import convert as convert
    from gdjax.data.files import read_features as read_features
    from gdjax.data.readers import read_table as read_table

ON_FIRST_TOUCH = import_on_first_touch(__name__)
