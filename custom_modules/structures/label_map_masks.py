"""Instance masks that keep one integer map instead of a bitmap a cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import mmcv
import numpy as np
import torch
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes
from mmdet.structures.mask import BaseInstanceMasks, BitmapMasks
from torch import Tensor

from cellkit import label_maps
from custom_modules.structures.label_roi_align import roi_align_labels

Bitmaps = np.ndarray | Sequence[np.ndarray]
Index = int | slice | Sequence[int] | np.ndarray | Tensor
Shape = tuple[int, int]  # (height, width), pixels


class LabelMapMasks(BitmapMasks):
    """Masks of instances that don't overlap, as one integer map.

    A drop-in for :class:`BitmapMasks`: a crop or flip is a view, an index selects ids, a resize
    touches one image whatever the number of cells. Results equal BitmapMasks' but for two things. A
    resize takes the label under a new pixel's centre, as the image's does; the stock one takes that
    under its corner, so that cells move by half a pixel against the image. And labels can't be
    mixed, so the affine methods take the nearest pixel too, whatever ``interpolation`` says, and an
    edge may differ by a pixel from blended bitmaps. What one map can't hold (masks that overlap, a
    border filled with foreground) comes back as BitmapMasks.

    It derives from BitmapMasks because stock code (visualizer, boxes, ``cat``) asks for that class;
    ``masks`` makes the bitmaps for it when read. Calling the class as stock code calls BitmapMasks
    works as well; to avoid bitmaps altogether use :meth:`from_map`.

    Args:
        masks: (N, H, W) array or list of (H, W) arrays, foreground where non-zero.
        height: rows, pixels.
        width: columns, pixels.

    Attributes:
        label_map: (H, W) integers, 0 background. Shared between objects: never written in place.
        ids: (N,) the value in ``label_map`` of each instance, in order.
    """

    def __new__(
        cls, masks: Bitmaps | None = None, height: int = 0, width: int = 0
    ) -> LabelMapMasks | BitmapMasks:
        self = super().__new__(cls)
        if masks is not None:
            label_map = _map_of_bitmaps(masks, int(height), int(width))
            if label_map is None:
                return BitmapMasks(masks, height, width)
            self._set_map(label_map, np.arange(1, len(masks) + 1))
        return self

    def __init__(self, masks: Bitmaps, height: int, width: int) -> None:
        pass  # not BitmapMasks': __new__ has set everything

    @classmethod
    def from_map(cls, label_map: np.ndarray, ids: np.ndarray | None = None) -> LabelMapMasks:
        """Wrap a label map without copying it.

        Args:
            label_map: (H, W) integers, 0 background.
            ids: (N,) labels that are instances, in order; 1..maximum when None.

        Raises:
            ValueError: if a label is greater than the map's type can hold.
        """
        self = cls.__new__(cls)
        if ids is None:
            ids = np.arange(1, int(label_map.max(initial=0)) + 1)
        ids = np.asarray(ids, np.int64).reshape(-1)
        if ids.max(initial=0) > np.iinfo(label_map.dtype).max:
            raise ValueError(f"instance {ids.max()} can't be in a map of {label_map.dtype}")
        self._set_map(label_map, ids)
        return self

    def _set_map(self, label_map: np.ndarray, ids: np.ndarray) -> None:
        self.label_map, self.ids = label_map, ids
        self.height, self.width = label_map.shape
        self._measures: tuple[np.ndarray, np.ndarray] | None = None

    def _with_map(self, label_map: np.ndarray) -> LabelMapMasks:
        return self.from_map(label_map, self.ids)

    def __getitem__(self, index: Index) -> LabelMapMasks:
        """Select instances; the map is shared, not copied."""
        if isinstance(index, Tensor):
            index = index.cpu().numpy()
        if isinstance(index, (list, tuple)) and not len(index):
            index = np.zeros(0, np.int64)
        selected = self.from_map(self.label_map, self.ids[index])
        selected._measures = self._measures
        return selected

    def __iter__(self) -> Iterator[np.ndarray]:
        for k in self.ids:
            yield (self.label_map == k).view(np.uint8)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        size = f'height={self.height}, width={self.width}'
        return f'{type(self).__name__}(num_masks={len(self)}, {size})'

    @property
    def masks(self) -> np.ndarray:
        """(N, H, W) uint8 bitmaps, made at each reading; writing into them changes the map."""
        bitmaps = self.to_ndarray().view(_WrittenThrough)
        bitmaps.owner = self
        return bitmaps

    @masks.setter
    def masks(self, masks: np.ndarray) -> None:
        label_map = _map_of_bitmaps(masks, *masks.shape[1:])
        if label_map is None:
            raise ValueError("a label map can't hold masks that overlap; use to_bitmap() first")
        self._set_map(label_map, np.arange(1, len(masks) + 1))

    def to_ndarray(self) -> np.ndarray:
        """(N, H, W) uint8 bitmaps."""
        ids = self.ids.astype(self.label_map.dtype)
        return (self.label_map[None] == ids[:, None, None]).view(np.uint8)

    def to_tensor(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """(N, H, W) bitmaps on a device; only the map travels there."""
        label_map, ids = self._tensors(device)
        return (label_map[None] == ids[:, None, None]).to(dtype)

    def to_bitmap(self) -> BitmapMasks:
        """The same masks as stock BitmapMasks."""
        return BitmapMasks(self.to_ndarray(), self.height, self.width)

    def rescale(self, scale: float | Shape, interpolation: str = 'nearest') -> LabelMapMasks:
        """See :meth:`BaseInstanceMasks.rescale`; ``interpolation`` is always nearest."""
        width, height = mmcv.rescale_size((self.width, self.height), scale)
        return self.resize((height, width))

    def resize(self, out_shape: Shape, interpolation: str = 'nearest') -> LabelMapMasks:
        """See :meth:`BaseInstanceMasks.resize`; ``interpolation`` is always nearest."""
        size = (int(out_shape[0]), int(out_shape[1]))
        return self._with_map(label_maps.resize(self.label_map, size))

    def flip(self, flip_direction: str = 'horizontal') -> LabelMapMasks:
        """See :meth:`BaseInstanceMasks.flip`; also ``"diagonal"``."""
        steps = {'horizontal': (1, -1), 'vertical': (-1, 1), 'diagonal': (-1, -1)}
        rows, columns = steps[flip_direction]
        return self._with_map(self.label_map[::rows, ::columns])

    def pad(self, out_shape: Shape, pad_val: int = 0) -> BitmapMasks:
        """See :meth:`BaseInstanceMasks.pad`; BitmapMasks if ``pad_val`` is not 0."""
        height, width = (int(side) for side in out_shape[:2])
        if (height, width) == (self.height, self.width):
            return self
        if pad_val:
            return self.to_bitmap().pad((height, width), pad_val)
        return self.expand(height, width, 0, 0)

    def expand(self, expanded_h: int, expanded_w: int, top: int, left: int) -> LabelMapMasks:
        """See :meth:`BaseInstanceMasks.expand`."""
        larger = np.zeros((int(expanded_h), int(expanded_w)), self.label_map.dtype)
        larger[top : top + self.height, left : left + self.width] = self.label_map
        return self._with_map(larger)

    def crop(self, bbox: np.ndarray) -> LabelMapMasks:
        """See :meth:`BaseInstanceMasks.crop`; the result is a view."""
        x1, x2 = np.clip(bbox[0::2], 0, self.width).astype(int)
        y1, y2 = np.clip(bbox[1::2], 0, self.height).astype(int)
        return self._with_map(self.label_map[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])

    def translate(
        self,
        out_shape: Shape,
        offset: float | tuple[float, float],
        direction: str = 'horizontal',
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> BitmapMasks:
        """See :meth:`BitmapMasks.translate`: what lies outside ``out_shape`` is cut off first."""
        if border_value:
            stock = self.to_bitmap()
            return stock.translate(out_shape, offset, direction, border_value, interpolation)
        both = offset if isinstance(offset, tuple) else (offset, offset)
        moves = {'horizontal': (offset, 0), 'vertical': (0, offset), 'both': both}
        right, down = moves[direction]
        cut = self.label_map[: out_shape[0], : out_shape[1]]
        matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
        return self._with_map(_warp(cut, matrix, out_shape))

    def shear(
        self,
        out_shape: Shape,
        magnitude: float,
        direction: str = 'horizontal',
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> BitmapMasks:
        """See :meth:`BaseInstanceMasks.shear`."""
        if border_value:
            stock = self.to_bitmap()
            return stock.shear(out_shape, magnitude, direction, border_value, interpolation)
        right, down = (magnitude, 0) if direction == 'horizontal' else (0, magnitude)
        matrix = np.array([[1, right, 0], [down, 1, 0]], np.float32)
        return self._with_map(_warp(self.label_map, matrix, out_shape))

    def rotate(
        self,
        out_shape: Shape,
        angle: float,
        center: tuple[float, float] | None = None,
        scale: float = 1.0,
        border_value: int = 0,
        interpolation: str = 'bilinear',
    ) -> BitmapMasks:
        """See :meth:`BaseInstanceMasks.rotate`."""
        if border_value:
            stock = self.to_bitmap()
            return stock.rotate(out_shape, angle, center, scale, border_value, interpolation)
        center = center or ((self.width - 1) * 0.5, (self.height - 1) * 0.5)
        # mmcv.imrotate counts the angle clockwise, OpenCV anticlockwise.
        matrix = cv2.getRotationMatrix2D(center, -angle, scale)
        return self._with_map(_warp(self.label_map, matrix, out_shape))

    def crop_and_resize(
        self,
        bboxes: np.ndarray | Tensor,
        out_shape: Shape,
        inds: np.ndarray | Tensor,
        device: torch.device | str = 'cpu',
        interpolation: str = 'bilinear',
        binarize: bool = True,
    ) -> BitmapMasks:
        """See :meth:`BaseInstanceMasks.crop_and_resize`.

        RoIAlign of each instance's bitmap, as :meth:`BitmapMasks.crop_and_resize`, computed from
        the map on ``device``; ``interpolation`` is not used there either.

        Returns:
            N masks of ``out_shape``: bool where at least half filled, or with ``binarize=False``
            the filled share as float32.
        """
        out_shape = (int(out_shape[0]), int(out_shape[1]))
        if not len(self) or not len(bboxes):
            return BitmapMasks(np.zeros((0, *out_shape), np.uint8), *out_shape)
        if torch.device(device).type == 'cpu':
            boxes, chosen = (torch.as_tensor(item).cpu().numpy() for item in (bboxes, inds))
            labels = self.ids[chosen].astype(self.label_map.dtype)
            shares = label_maps.crop_and_resize(self.label_map, labels, boxes, out_shape)
        else:
            label_map, ids = self._tensors(device)
            boxes = torch.as_tensor(bboxes, dtype=torch.float32, device=device)
            labels = ids[torch.as_tensor(inds, dtype=torch.long, device=device)]
            shares = roi_align_labels(label_map, labels, boxes, out_shape)
        masks = shares >= 0.5 if binarize else shares
        if isinstance(masks, Tensor):
            masks = masks.cpu().numpy()
        return BitmapMasks(masks, *out_shape)

    @property
    def areas(self) -> np.ndarray:
        """(N,) int64, pixels of each instance."""
        return self._measured()[0][self.ids]

    def get_bboxes(self, dst_type: str | type = 'hbox') -> BaseBoxes:
        """Tight boxes, zeros for instances without a pixel; see :class:`BaseInstanceMasks`."""
        boxes = HorizontalBoxes(self._measured()[1][self.ids].astype(np.float32))
        return boxes.convert_to(dst_type)

    def _measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Areas and boxes by label, computed once for a map and everything indexed from it."""
        if self._measures is None:
            greatest = max(int(self.label_map.max(initial=0)), int(self.ids.max(initial=0)))
            self._measures = label_maps.areas_and_boxes(self.label_map, greatest)
        return self._measures

    def _tensors(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """The map and the ids as tensors of one type that every device can compare."""
        dtype = np.uint8 if self.label_map.dtype == np.uint8 else np.int32
        label_map = torch.from_numpy(np.ascontiguousarray(self.label_map, dtype))
        return label_map.to(device), torch.from_numpy(self.ids.astype(dtype)).to(device)

    @classmethod
    def cat(cls, masks: Sequence[BaseInstanceMasks]) -> BitmapMasks:
        """Put several objects of one size together; BitmapMasks if their instances overlap."""
        if not masks:
            raise ValueError('masks should not be an empty list.')
        if not all(isinstance(part, cls) for part in masks):
            return BitmapMasks.cat(masks)
        shared = masks[0].label_map
        if all(part.label_map is shared for part in masks):
            return cls.from_map(shared, np.concatenate([part.ids for part in masks]))
        united = np.zeros(shared.shape, label_maps.smallest_dtype(sum(map(len, masks))))
        count = 0
        for part in masks:
            if len(np.unique(part.ids)) < len(part):  # one instance twice: only bitmaps hold it
                return BitmapMasks.cat(masks)
            new_labels = np.zeros(int(part.label_map.max(initial=0)) + 1, united.dtype)
            seen = part.ids < len(new_labels)
            new_labels[part.ids[seen]] = np.arange(count + 1, count + len(part) + 1)[seen]
            count += len(part)
            layer = new_labels[part.label_map]
            if np.logical_and(united, layer).any():
                return BitmapMasks.cat(masks)
            united = np.maximum(united, layer)
        return cls.from_map(united, np.arange(1, count + 1))


def _map_of_bitmaps(masks: Bitmaps, height: int, width: int) -> np.ndarray | None:
    """The label map of bitmaps, None if two of them share a pixel."""
    label_map = np.zeros((height, width), label_maps.smallest_dtype(len(masks)))
    for k, mask in enumerate(masks, start=1):
        foreground = np.asarray(mask) != 0
        if label_map[foreground].any():
            return None
        label_map[foreground] = k
    return label_map


def _warp(label_map: np.ndarray, matrix: np.ndarray, out_shape: Shape) -> np.ndarray:
    """Affine warp to (height, width) that takes the nearest pixel and 0 outside."""
    size = (int(out_shape[1]), int(out_shape[0]))
    return cv2.warpAffine(np.ascontiguousarray(label_map), matrix, size, flags=cv2.INTER_NEAREST)


class _WrittenThrough(np.ndarray):
    """Bitmaps whose owner follows when they are written to, as RandomErasing does."""

    owner: LabelMapMasks | None = None

    def __setitem__(self, index: object, value: object) -> None:
        super().__setitem__(index, value)
        if self.owner is not None:
            self.owner.masks = self
