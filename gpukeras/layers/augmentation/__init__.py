"""Layers that prepare and augment images, with their labels, bounding boxes and segmentation masks."""
