"""Processor seconds of an image in the boundary metric (odsF), by size and number of thresholds.

The edge maps are generated: boundaries of a warped Voronoi partition are blurred, displaced by a few pixels, made
uneven in strength, and covered by noise. So low thresholds find thousands of false edges, and high ones find the true
edges in pieces.

    python benchmarks/edge_matching.py --images 4 --jobs 2
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from scipy.spatial import KDTree

from equipoise.metrics import boundary_counts
from equipoise.metrics.thinning import pack_levels, thin


def edge_map(height: int, width: int, regions: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a plausible prediction, float32 probabilities `[H, W]`, and the thinned truth, booleans `[H, W]`."""
    generator = np.random.default_rng(seed)

    def smooth_noise(scale: float) -> NDArray[np.float64]:
        noise = ndimage.gaussian_filter(generator.normal(size=(height, width)), scale)
        return noise / noise.std()

    warps = height / 20 * np.stack([smooth_noise(height / 20), smooth_noise(height / 20)])
    warped = np.moveaxis(np.indices((height, width)) + warps, 0, -1)
    region = np.asarray(KDTree(generator.uniform((0, 0), (height, width), (regions, 2))).query(warped)[1])
    boundary = np.zeros((height, width), dtype=np.int64)
    boundary[:, 1:] |= region[:, 1:] != region[:, :-1]
    boundary[1:] |= region[1:] != region[:-1]
    displaced = np.indices((height, width)) + height / 90 * np.stack([smooth_noise(height / 40) for _ in range(2)])
    blurred = ndimage.map_coordinates(ndimage.gaussian_filter(boundary.astype(np.float64), 2), displaced, order=1)
    logit = -5 + 9 * blurred / blurred.max() * (1 + 0.25 * smooth_noise(height / 15)) + 0.9 * smooth_noise(1.5)
    return (1 / (1 + np.exp(-logit))).astype(np.float32), thin(pack_levels(boundary, maps=1))[0] > 0


def processor_seconds(
    prediction: NDArray[np.float32], truth: NDArray[np.bool_], thresholds: NDArray[np.float64], max_distance: float
) -> float:
    start = time.process_time()
    boundary_counts(prediction, [truth], thresholds, max_distance)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4, help="images of each size")
    parser.add_argument("--sizes", nargs="+", default=["448x576", "120x160", "64x64"], help="heights and widths")
    parser.add_argument("--thresholds", nargs="+", type=int, default=[99, 19, 9], help="numbers of thresholds")
    parser.add_argument("--max-distance", type=float, default=0.011, help="fraction of the image's diagonal")
    parser.add_argument(
        "--regions", type=int, default=40, help="regions of the largest size; smaller images have fewer"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    arguments = parser.parse_args()

    table = Table(title=f"odsF, {arguments.images} images, {arguments.jobs} process(es)")
    for heading in ("size", "thresholds", "processor seconds per image", "images per second"):
        table.add_column(heading, justify="right")
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for size in arguments.sizes:
            height, width = map(int, size.split("x"))
            regions = max(5, round(arguments.regions * min(1, height / 448)))
            pairs = [edge_map(height, width, regions, seed) for seed in range(arguments.images)]
            for count in arguments.thresholds:
                thresholds = np.arange(1, count + 1) / (count + 1)
                start = time.perf_counter()
                futures = [pool.submit(processor_seconds, *pair, thresholds, arguments.max_distance) for pair in pairs]
                each = sum(future.result() for future in futures) / len(pairs)
                elapsed = time.perf_counter() - start
                table.add_row(size, str(count), f"{each:.4f}", f"{len(pairs) / elapsed:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
