"""Partitions of rows: who belongs together, whatever the components are called."""

from ppl_models.posterior.partition.ball import CredibleBall, credible_ball
from ppl_models.posterior.partition.losses import distances, expected_loss
from ppl_models.posterior.partition.of_tree import coassignment, partition
from ppl_models.posterior.partition.search import PointPartition, point_partition
from ppl_models.posterior.partition.similarity import similarity, soft_similarity

__all__ = [
    "CredibleBall",
    "PointPartition",
    "coassignment",
    "credible_ball",
    "distances",
    "expected_loss",
    "partition",
    "point_partition",
    "similarity",
    "soft_similarity",
]
