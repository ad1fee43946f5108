"""Every balancing method as a pure function: evidence and state in, weights or a direction and state out.

Functions of a Gram matrix ``jacobian @ jacobian.T`` solve in float64 on the host, whatever comes in, and return weights
in the dtype and on the device of the matrix, so that the update is ``jacobian.T @ weights``. They are independent of
the scale from 1e-20 to 1e20 as far as the Gram matrix is: it squares the gradients, which leaves the range of float32
beyond norms of 1e-19 and 1e19. It also halves the digits: directions in which gradients differ by less than the square
root of its precision (1e-8 in float64, 3e-4 in float32, relative) are rounding. No function builds or needs an autograd
graph.
"""

from equipoise.balancing.functional.aligned_mtl import aligned_mtl
from equipoise.balancing.functional.avgnorm import avgnorm
from equipoise.balancing.functional.cagrad import cagrad
from equipoise.balancing.functional.cdtt import CDTTState, cdtt
from equipoise.balancing.functional.config import config
from equipoise.balancing.functional.db_mtl import DBMTLState, db_mtl
from equipoise.balancing.functional.dtp import dtp
from equipoise.balancing.functional.dwa import dwa
from equipoise.balancing.functional.edm import edm
from equipoise.balancing.functional.excess_mtl import ExcessMTLState, excess_mtl
from equipoise.balancing.functional.fairgrad import fairgrad
from equipoise.balancing.functional.famo import famo_gradient, famo_weights
from equipoise.balancing.functional.fixed_weights import fixed_weights
from equipoise.balancing.functional.gls import gls
from equipoise.balancing.functional.graddrop import graddrop
from equipoise.balancing.functional.gradnorm import GradNormForces, gradnorm, gradnorm_renormalized
from equipoise.balancing.functional.gradvac import gradvac
from equipoise.balancing.functional.imtl import imtl
from equipoise.balancing.functional.imtl_g import imtl_g
from equipoise.balancing.functional.imtl_l import imtl_l
from equipoise.balancing.functional.mgda import mgda, mgda_scales
from equipoise.balancing.functional.moco import MoCoState, moco
from equipoise.balancing.functional.modo import modo
from equipoise.balancing.functional.nash_mtl import nash_mtl
from equipoise.balancing.functional.pcgrad import pcgrad
from equipoise.balancing.functional.rlw import rlw
from equipoise.balancing.functional.rotograd import rotograd, rotograd_slopes
from equipoise.balancing.functional.sdmgrad import sdmgrad
from equipoise.balancing.functional.si import si
from equipoise.balancing.functional.stch import stch, stch_of_logarithms
from equipoise.balancing.functional.upgrad import upgrad
from equipoise.balancing.functional.url import url_distance
from equipoise.balancing.functional.uw import uw

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
