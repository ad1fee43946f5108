"""Mean and deviation by which networks that were trained on ImageNet expect images in [0, 1] to be normalised."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
