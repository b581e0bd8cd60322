"""Reading, checking and splitting datasets."""

from thaw.data.images import Dataset, Images, to_range, to_uint8
from thaw.data.reading import read_dataset

__all__ = ["Dataset", "Images", "read_dataset", "to_range", "to_uint8"]
