"""Classes of PASCAL: VOC 2012, the parts of people, and the context classes whose distilled normals can be trusted."""

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor",
)  # fmt: skip
"""By class index."""

CONTEXT_CLASSES = 459
"""The number of classes of PASCAL-Context (Mottaghi et al., CVPR 2014), which count from 1."""

INDOOR_CONTEXT_CLASSES = (
    3, 4, 6, 9, 10, 11, 13, 15, 17, 18, 22, 23, 29, 30, 33, 34, 36, 37, 38, 39, 41, 43, 46, 49, 50, 51, 53, 55, 56, 59,
    61, 62, 65, 66, 68, 69, 72, 73, 78, 83, 84, 85, 87, 88, 95, 96, 101, 104, 105, 107, 111, 113, 115, 122, 124, 135,
    141, 142, 143, 146, 150, 154, 157, 158, 159, 165, 172, 174, 181, 183, 184, 191, 193, 195, 197, 199, 202, 213, 215,
    216, 219, 220, 223, 225, 228, 230, 232, 233, 238, 239, 242, 243, 246, 250, 251, 252, 255, 260, 261, 263, 269, 272,
    273, 275, 281, 283, 284, 285, 286, 287, 288, 290, 291, 292, 293, 295, 304, 307, 309, 310, 314, 315, 319, 323, 329,
    330, 331, 336, 342, 345, 349, 350, 351, 352, 355, 357, 368, 370, 371, 374, 379, 380, 383, 384, 397, 401, 403, 405,
    407, 408, 411, 412, 413, 414, 417, 419, 421, 423, 427, 429, 430, 432, 440, 441, 442, 443, 444, 446, 454, 457,
)  # fmt: skip
"""The context classes whose names are among the 894 of NYU Depth v2, on which the network that made the distilled
normals was trained; without `unknown`, and with the TV monitor, whose name differs. Wall (440), floor (158), ceiling
(68), chair (72), table (397), sofa (368), person (284), car (59), cat (65), dog (113), bottle (34) and bicycle (23) are
among them; sky, grass, road, building, tree, water, cow, horse, sheep, bus and train are not."""
