"""The boundary scores odsF, oisF and average precision."""

from torch import Tensor

from equipoise.metrics.boundary_metric import BoundaryMetric


class OdsF(BoundaryMetric):
    """Edge F-measure at the threshold best for the whole data set (optimal data set scale), in percent.

    Counts are summed over the images, precision and recall are taken from the sums, and the best F-measure is found
    between the thresholds too. This is the protocol of the BSDS boundary benchmark (Arbelaez et al., 2011), which SEISM
    follows and which P1 (section 3) reports. On the benchmark's own self-test it gives the F-measures of the MATLAB
    code to 2e-4. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = OdsF(thresholds=9)
        >>> metric.update(0.8 * truth, truth)
        >>> metric.compute().item()
        100.0
    """

    def compute(self) -> Tensor:
        """The score in percent; nan when there was no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ods_f)


class OisF(BoundaryMetric):
    """Edge F-measure when every image takes its own best threshold (optimal image scale), in percent.

    Counts at the best thresholds are summed over the images before precision and recall are taken, as the BSDS boundary
    benchmark does it. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = OisF(thresholds=9)
        >>> for strength in (0.2, 0.8):
        ...     metric.update(strength * truth, truth)
        >>> metric.compute().item()
        100.0
    """

    def compute(self) -> Tensor:
        """The score in percent; nan when there was no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ois_f)


class EdgePrecision(BoundaryMetric):
    """Average precision of edges, the area under precision over recall, in percent.

    As the BSDS boundary benchmark has it: precision is interpolated between the recalls that the thresholds reach and
    counts as 0 beyond them, on both sides. Arguments and errors are those of `BoundaryMetric`.

    Example:
        >>> import torch
        >>> truth = torch.eye(16)[None, None]
        >>> metric = EdgePrecision(thresholds=9)
        >>> metric.update(torch.linspace(0.2, 1, 16) * truth, truth)
        >>> metric.compute().item()  # no threshold has a recall below an eighth
        88.0
    """

    def compute(self) -> Tensor:
        """The score in percent; nan when there was no edge at all, neither predicted nor true."""
        return self._percent(self._scores().ap)
