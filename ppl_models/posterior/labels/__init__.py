"""Label switching and its repair, see :func:`ppl_models.posterior.labels.relabel.relabel`."""

from ppl_models.posterior.labels.ecr import ecr, ecr_iterative, ecr_iterative_soft, ecr_soft
from ppl_models.posterior.labels.ordering import by_order
from ppl_models.posterior.labels.relabel import relabel, unrelabel
from ppl_models.posterior.labels.stephens import Stephens, stephens

__all__ = [
    "Stephens",
    "by_order",
    "ecr",
    "ecr_iterative",
    "ecr_iterative_soft",
    "ecr_soft",
    "relabel",
    "stephens",
    "unrelabel",
]
