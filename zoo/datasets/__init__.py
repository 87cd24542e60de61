"""Sequences of images with what is known of how they were made, and readers of published files."""

from .ball_sequences import BallSequences
from .balls import MovingBalls
from .catalogue import (
    SOURCES,
    load_images,
    open_ball_sequences,
    open_balls,
    open_data,
    open_orbits,
    sources,
)
from .celeba import celeba
from .digits import digits
from .ellipses import ELLIPSE_FACTORS, render_ellipses
from .factor_tasks import FactorTasks
from .folders import images_from
from .idx import read_idx
from .images import Images
from .labelled_points import LabelledPoints, read_table
from .labelled_tasks import LabelledTasks, open_tasks
from .mnist import fashion_mnist, mnist
from .motion import FACTORS, Factor, Motion, Trajectories
from .orbit_split import OrbitSplit, OrbitTruth, carry
from .orbits import OrbitSequences
from .pairs import pairs_of
from .polygons import polygons, square
from .render import render_accumulated, render_once
from .sequences import ImageSequences, SequenceSplit
from .spikes import sticky_spikes
from .splits import AbstractSplit, FirstOf, SequenceData
from .sprites import sprites
from .task_split import TaskSplit, TaskTruth, padded_tasks
from .transformed import TransformedDigits, TransformedImages, TransformOptions
from .traversals import dsprites, falcor3d, isaac3d, shapes3d
from .truth import TransformedSplit, Truth
from .videos import moving_mnist, mpi3d, two_dsprites

__all__ = [
    "ELLIPSE_FACTORS",
    "FACTORS",
    "SOURCES",
    "AbstractSplit",
    "BallSequences",
    "Factor",
    "FactorTasks",
    "FirstOf",
    "ImageSequences",
    "Images",
    "LabelledPoints",
    "LabelledTasks",
    "Motion",
    "MovingBalls",
    "OrbitSequences",
    "OrbitSplit",
    "OrbitTruth",
    "SequenceData",
    "SequenceSplit",
    "TaskSplit",
    "TaskTruth",
    "Trajectories",
    "TransformOptions",
    "TransformedDigits",
    "TransformedImages",
    "TransformedSplit",
    "Truth",
    "carry",
    "celeba",
    "digits",
    "dsprites",
    "falcor3d",
    "fashion_mnist",
    "images_from",
    "isaac3d",
    "load_images",
    "mnist",
    "moving_mnist",
    "mpi3d",
    "open_ball_sequences",
    "open_balls",
    "open_data",
    "open_orbits",
    "open_tasks",
    "padded_tasks",
    "pairs_of",
    "polygons",
    "read_idx",
    "read_table",
    "render_accumulated",
    "render_ellipses",
    "render_once",
    "shapes3d",
    "sources",
    "sprites",
    "square",
    "sticky_spikes",
    "two_dsprites",
]
