"""Numbers that say how good a model and its guide are; all in nats, pixels or shares of one."""

from .activity import active_fields, distinct_fields, field_usage
from .angles import AngleAgreement, angle_agreement
from .bits import bits_per_dimension
from .blocks import BlockMatching, group_latents, match_blocks
from .bounds import Bounds, elbo_and_iwae, importance_log_weights
from .cores import Agreement, core_agreement, mutual_information
from .crosstalk import CrossTalk, cross_talk
from .defect import TopologicalDefect, topological_defect
from .elements import ElementAccuracy, element_accuracy
from .equivariance import EquivarianceError, equivariance_error
from .matching import Matching, match_fields, sparse_mean
from .parts import match_parts
from .principal import PrincipalComponents, decibels

__all__ = [
    "Agreement",
    "AngleAgreement",
    "BlockMatching",
    "Bounds",
    "CrossTalk",
    "ElementAccuracy",
    "EquivarianceError",
    "Matching",
    "PrincipalComponents",
    "TopologicalDefect",
    "active_fields",
    "angle_agreement",
    "bits_per_dimension",
    "core_agreement",
    "cross_talk",
    "decibels",
    "distinct_fields",
    "elbo_and_iwae",
    "element_accuracy",
    "equivariance_error",
    "field_usage",
    "group_latents",
    "importance_log_weights",
    "match_blocks",
    "match_fields",
    "match_parts",
    "mutual_information",
    "sparse_mean",
    "topological_defect",
]
