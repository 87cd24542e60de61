"""Numbers that say how good a model and its guide are; all in nats, pixels or shares of one."""

from .activity import active_fields, distinct_fields, field_usage
from .angles import AngleAgreement, angle_agreement
from .bits import bits_per_dimension
from .blocks import BlockMatching, group_latents, match_blocks
from .bounds import Bounds, elbo_and_iwae, importance_log_weights
from .cores import Agreement, core_agreement, mutual_information
from .crosstalk import CrossTalk, cross_talk
from .defect import TopologicalDefect, topological_defect
from .disentanglement import disentanglement
from .elements import ElementAccuracy, element_accuracy
from .equivariance import EquivarianceError, equivariance_error
from .importances import Importances, dci, importance_scores
from .information import InfoMEC, SharedInformation, info_mec, shared_information
from .matching import Matching, match_fields, sparse_mean
from .parts import match_parts
from .principal import PrincipalComponents, decibels
from .recovery import MeanCorrelation, explained_variance, mean_correlation
from .robustness import Robustness, interventional_robustness
from .segmentation import foreground_agreement, owners_of_pixels
from .separability import Separability, separability
from .supports import FeatureUse, feature_use, support_f1

__all__ = [
    "Agreement",
    "AngleAgreement",
    "BlockMatching",
    "Bounds",
    "CrossTalk",
    "ElementAccuracy",
    "EquivarianceError",
    "FeatureUse",
    "Importances",
    "InfoMEC",
    "Matching",
    "MeanCorrelation",
    "PrincipalComponents",
    "Robustness",
    "Separability",
    "SharedInformation",
    "TopologicalDefect",
    "active_fields",
    "angle_agreement",
    "bits_per_dimension",
    "core_agreement",
    "cross_talk",
    "dci",
    "decibels",
    "disentanglement",
    "distinct_fields",
    "elbo_and_iwae",
    "element_accuracy",
    "equivariance_error",
    "explained_variance",
    "feature_use",
    "field_usage",
    "foreground_agreement",
    "group_latents",
    "importance_log_weights",
    "importance_scores",
    "info_mec",
    "interventional_robustness",
    "match_blocks",
    "match_fields",
    "match_parts",
    "mean_correlation",
    "mutual_information",
    "owners_of_pixels",
    "separability",
    "shared_information",
    "sparse_mean",
    "support_f1",
    "topological_defect",
]
