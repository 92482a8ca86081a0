"""Stock bitmaps at another size, resized as the image is: what ours are compared with."""

from mmdet.structures.mask import BitmapMasks

from cellkit import label_maps


def by_centres(stock: BitmapMasks, height: int, width: int) -> BitmapMasks:
    """Each bitmap's pixel under a new pixel's centre, where OpenCV's is that under the corner."""
    bitmaps = [label_maps.resize(bitmap, (height, width)) for bitmap in stock.masks]
    return BitmapMasks(bitmaps, height, width)
