"""Every balancing method as a pure function of gradients or losses and, for some, a state.

Functions of a Gram matrix `jacobian @ jacobian.T` solve in float64 on the CPU, whatever the input. They return weights
in the dtype and on the device of the matrix, so that the update is `jacobian.T @ weights`.

The results do not depend on the scale of the gradients, from 1e-20 to 1e20, as long as the Gram matrix can hold it. The
matrix squares the gradients, which leaves the range of float32 beyond norms of 1e-19 and 1e19. It also halves the
number of digits: differences between gradients below the square root of its precision (relative, 1e-8 in float64 and
3e-4 in float32) are rounding.

No function builds or needs an autograd graph, except `url_distance`, which is differentiable.
"""

from equipoise.balancing.methods.aligned_mtl import aligned_mtl
from equipoise.balancing.methods.avgnorm import avgnorm
from equipoise.balancing.methods.cagrad import cagrad
from equipoise.balancing.methods.cdtt import CDTTState, cdtt
from equipoise.balancing.methods.config import config
from equipoise.balancing.methods.db_mtl import DBMTLState, db_mtl
from equipoise.balancing.methods.dtp import dtp
from equipoise.balancing.methods.dwa import dwa
from equipoise.balancing.methods.edm import edm
from equipoise.balancing.methods.excess_mtl import ExcessMTLState, excess_mtl
from equipoise.balancing.methods.fairgrad import fairgrad
from equipoise.balancing.methods.famo import famo_gradient, famo_weights
from equipoise.balancing.methods.fixed import fixed_weights
from equipoise.balancing.methods.gls import gls
from equipoise.balancing.methods.graddrop import graddrop
from equipoise.balancing.methods.gradnorm import GradNormForces, gradnorm, gradnorm_renormalized
from equipoise.balancing.methods.gradvac import gradvac
from equipoise.balancing.methods.imtl import imtl
from equipoise.balancing.methods.imtl_g import imtl_g
from equipoise.balancing.methods.imtl_l import imtl_l
from equipoise.balancing.methods.mgda import mgda, mgda_scales
from equipoise.balancing.methods.moco import MoCoState, moco
from equipoise.balancing.methods.modo import modo
from equipoise.balancing.methods.nash_mtl import nash_mtl
from equipoise.balancing.methods.pcgrad import pcgrad
from equipoise.balancing.methods.rlw import rlw
from equipoise.balancing.methods.rotograd import rotograd, rotograd_slopes
from equipoise.balancing.methods.sdmgrad import sdmgrad
from equipoise.balancing.methods.si import si
from equipoise.balancing.methods.stch import stch, stch_of_logarithms
from equipoise.balancing.methods.upgrad import upgrad
from equipoise.balancing.methods.url import url_distance
from equipoise.balancing.methods.uw import uw

__all__ = [
    "CDTTState",
    "DBMTLState",
    "ExcessMTLState",
    "GradNormForces",
    "MoCoState",
    "aligned_mtl",
    "avgnorm",
    "cagrad",
    "cdtt",
    "config",
    "db_mtl",
    "dtp",
    "dwa",
    "edm",
    "excess_mtl",
    "fairgrad",
    "famo_gradient",
    "famo_weights",
    "fixed_weights",
    "gls",
    "graddrop",
    "gradnorm",
    "gradnorm_renormalized",
    "gradvac",
    "imtl",
    "imtl_g",
    "imtl_l",
    "mgda",
    "mgda_scales",
    "moco",
    "modo",
    "nash_mtl",
    "pcgrad",
    "rlw",
    "rotograd",
    "rotograd_slopes",
    "sdmgrad",
    "si",
    "stch",
    "stch_of_logarithms",
    "upgrad",
    "url_distance",
    "uw",
]
