"""Label files of AUs in their real layouts, read in pieces."""

from samplers.priors.labels.opening import FORMATS, open_labels
from samplers.priors.labels.source import LabelBatch, Labels, Reading

__all__ = ["FORMATS", "LabelBatch", "Labels", "Reading", "open_labels"]
