"""Equipoise: see why a multi-task network trains out of balance, and balance it.

The library is one call in place of `loss.backward()`:

    balancer = equipoise.AvgNorm()                          # or equipoise.create("avgnorm")
    balance = balancer.backward(losses, features=features, last_layer=encoder.layer4[-1].conv2)

It needs torch alone. The laboratory (datasets, architectures, studies, reports, the command `equipoise`) comes with
`pip install equipoise[lab]`.
"""

from equipoise import functional
from equipoise._core.registry import register
from equipoise._core.version import __version__
from equipoise.balancing import (
    Balance,
    Balancer,
    Context,
    Forward,
    GradientObserver,
    Measurement,
    MethodInfo,
    Need,
    NonFiniteError,
    Place,
    SolverError,
    StepInputs,
    Update,
    available,
    create,
    undisturbed,
)
from equipoise.balancing.bases import (
    BargainingBalancer,
    CrossGramBalancer,
    DirectionBalancer,
    EpochBalancer,
    GradientBalancer,
    GramBalancer,
    WeightBalancer,
)
from equipoise.balancing.hyper_parameters import Rule, hyper
from equipoise.balancing.methods.aligned_mtl import AlignedMTL
from equipoise.balancing.methods.auto_lambda import AutoLambda
from equipoise.balancing.methods.avgnorm import AvgNorm
from equipoise.balancing.methods.cagrad import CAGrad
from equipoise.balancing.methods.cdtt import CDTT
from equipoise.balancing.methods.config import ConFIG
from equipoise.balancing.methods.db_mtl import DBMTL
from equipoise.balancing.methods.dtp import DTP
from equipoise.balancing.methods.dwa import DWA
from equipoise.balancing.methods.edm import EDM
from equipoise.balancing.methods.excess_mtl import ExcessMTL
from equipoise.balancing.methods.fairgrad import FairGrad
from equipoise.balancing.methods.famo import FAMO
from equipoise.balancing.methods.fixed import Fixed
from equipoise.balancing.methods.gls import GLS
from equipoise.balancing.methods.graddrop import GradDrop
from equipoise.balancing.methods.gradnorm import GradNorm
from equipoise.balancing.methods.gradvac import GradVac
from equipoise.balancing.methods.imtl import IMTL
from equipoise.balancing.methods.imtl_g import IMTLG
from equipoise.balancing.methods.imtl_l import IMTLL
from equipoise.balancing.methods.mgda import MGDA
from equipoise.balancing.methods.moco import MoCo
from equipoise.balancing.methods.modo import MoDo
from equipoise.balancing.methods.nash_mtl import NashMTL
from equipoise.balancing.methods.pcgrad import PCGrad
from equipoise.balancing.methods.rlw import RLW
from equipoise.balancing.methods.rotograd import RotoGrad
from equipoise.balancing.methods.sdmgrad import SDMGrad
from equipoise.balancing.methods.si import SI
from equipoise.balancing.methods.stch import STCH
from equipoise.balancing.methods.uniform import Uniform
from equipoise.balancing.methods.upgrad import UPGrad
from equipoise.balancing.methods.url import URL
from equipoise.balancing.methods.uw import UW
from equipoise.diagnosis.probe import Probe

__all__ = [
    "CDTT",
    "DBMTL",
    "DTP",
    "DWA",
    "EDM",
    "FAMO",
    "GLS",
    "IMTL",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "RLW",
    "SI",
    "STCH",
    "URL",
    "UW",
    "AlignedMTL",
    "AutoLambda",
    "AvgNorm",
    "Balance",
    "Balancer",
    "BargainingBalancer",
    "CAGrad",
    "ConFIG",
    "Context",
    "CrossGramBalancer",
    "DirectionBalancer",
    "EpochBalancer",
    "ExcessMTL",
    "FairGrad",
    "Fixed",
    "Forward",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancer",
    "GradientObserver",
    "GramBalancer",
    "Measurement",
    "MethodInfo",
    "MoCo",
    "MoDo",
    "NashMTL",
    "Need",
    "NonFiniteError",
    "PCGrad",
    "Place",
    "Probe",
    "RotoGrad",
    "Rule",
    "SDMGrad",
    "SolverError",
    "StepInputs",
    "UPGrad",
    "Uniform",
    "Update",
    "WeightBalancer",
    "__version__",
    "available",
    "create",
    "functional",
    "hyper",
    "register",
    "undisturbed",
]
