"""The training losses on the validation images, which MMDetection does not give."""

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from mmcv.transforms import LoadAnnotations
from mmdet.registry import DATASETS, HOOKS, TRANSFORMS
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from cellkit.errors import BadSetting
from custom_modules.engine.repeatable import seed_all


@HOOKS.register_module()
class ValidationLossHook(Hook):
    """Logs the losses on validation images beside the metrics at every validation.

    ``val_loss`` is the total, ``val_loss_mask`` and so on its parts, defined as in training but in
    evaluation mode (no dropout, running statistics of batch norm), on whole images as the
    validation pipeline resizes them, without augmentation: the mean over the images. Augmented
    crops are harder than whole images, so ``val_loss`` may lie below the training loss.

    Training goes on exactly as without it: weights, batch norm and random numbers are left alone.
    It sees the weights that the metrics see (those of ``EMAHook``, where there is one). The values
    are not smoothed over validations, as MMEngine would smooth anything called a loss, and may
    serve ``save_best='val_loss'``.

    Args:
        max_images: Only so many images, evenly spread over the validation part and the same ones
            every time; all of them when None.
        seed: Of the random numbers of the heads' samplers.
        pipeline: How images and annotations are loaded. By default the validation pipeline, with
            the annotations loaded before the resizing, as losses need them.
    """

    # Before RuntimeInfoHook, which takes the values to the log.
    priority = 'HIGHEST'

    def __init__(
        self,
        max_images: int | None = None,
        seed: int = 0,
        pipeline: Sequence[dict] | None = None,
    ) -> None:
        if max_images is not None and max_images < 1:
            raise BadSetting(
                f'ValidationLossHook.max_images is {max_images}: give 1 or more, or None for all.'
            )
        self.max_images, self.seed, self.pipeline = max_images, seed, pipeline
        self._loader: DataLoader | None = None
        self._losses: dict[str, float] = {}

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Takes the losses at the first validation step, when the weights are those to validate."""
        if batch_idx:
            return
        with isolated_random_numbers(self.seed):
            if self._loader is None:
                self._loader = self._build_loader(runner)
            self._losses = mean_losses(runner.model, self._loader, runner.optim_wrapper, self.seed)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Adds the losses to the metrics of this validation."""
        for name, value in self._losses.items():
            runner.message_hub.log_scalars.pop(f'val/{name}', None)  # else the log averages them
            if metrics is not None:
                metrics[name] = value
        self._losses = {}

    def _build_loader(self, runner: Runner) -> DataLoader:
        """Loads validation images with annotations, one by one, in this process."""
        loader = copy.deepcopy(runner.cfg.val_dataloader)
        train = runner.cfg.get('train_dataloader') or {}
        loader.dataset.pipeline = self.pipeline or with_annotations(
            loader.dataset.pipeline, train.get('dataset', {}).get('pipeline', [])
        )
        loader.dataset = dataset = DATASETS.build(loader.dataset)
        if self.max_images is not None and self.max_images < len(dataset):
            chosen = np.linspace(0, len(dataset) - 1, self.max_images).round().astype(int)
            loader.dataset = dataset.get_subset(chosen.tolist())
        loader.sampler = dict(type='DefaultSampler', shuffle=False, round_up=False)
        loader.batch_size, loader.num_workers = 1, 0
        loader.pop('batch_sampler', None)
        for only_for_workers in ('persistent_workers', 'prefetch_factor'):
            loader.pop(only_for_workers, None)
        return runner.build_dataloader(loader, seed=self.seed)


def with_annotations(pipeline: Sequence[dict], train_pipeline: Sequence[dict]) -> list[dict]:
    """A validation pipeline whose annotations go through the geometric steps with the image.

    The first loading step, of the training pipeline where it has one, comes right after the image
    is loaded; the validation pipeline may load annotations late, as metrics want them, or never.

    Raises:
        ValueError: If neither loads annotations.
    """
    steps = [step for step in pipeline if not _loads_annotations(step)]
    loading = [step for step in (*train_pipeline, *pipeline) if _loads_annotations(step)]
    if not loading:
        raise BadSetting(
            'ValidationLossHook finds no step that loads annotations in the training or validation '
            'pipeline: give its setting pipeline.'
        )
    return [*steps[:1], loading[0], *steps[1:]]


def _loads_annotations(step: dict) -> bool:
    kind = step['type']
    if isinstance(kind, str):
        kind = TRANSFORMS.get(kind)
    return isinstance(kind, type) and issubclass(kind, LoadAnnotations)


@torch.no_grad()
def mean_losses(
    model: torch.nn.Module, loader: DataLoader, optim_wrapper: Any = None, seed: int = 0
) -> dict[str, float]:
    """Mean losses of a model over the images of a data loader.

    The model is in evaluation mode, the loader gives annotations too, and the optimizer wrapper, if
    it is one, gives the precision of training. ``val_`` comes before each name that training logs.
    Where several processes take batches in turn, the values are those of a single one: a batch
    draws its random numbers from the seed and its place, and the mean is taken in that order.
    """
    if is_model_wrapper(model):
        model = model.module
    own: list[tuple[int, int, dict[str, float]]] = []
    rank, processes = get_dist_info()
    for k, batch in enumerate(loader):
        place = k * processes + rank
        seed_all(seed, place)
        # As in training_step, less the augmentation of batches.
        data = model.data_preprocessor(batch, False)
        wrapped = isinstance(optim_wrapper, OptimWrapper)
        with optim_wrapper.optim_context(model) if wrapped else nullcontext():
            losses = model(**data, mode='loss')
        values = {name: float(v) for name, v in model.parse_losses(losses)[1].items()}
        own.append((place, len(data['data_samples']), values))
    every = sorted((entry for part in all_gather_object(own) for entry in part), key=itemgetter(0))
    sizes = [size for _, size, _ in every]
    return {
        f'val_{name}': float(np.average([values[name] for *_, values in every], weights=sizes))
        for name in every[0][2]
    }


@contextmanager
def isolated_random_numbers(seed: int) -> Iterator[None]:
    """Seeds all random numbers inside; afterwards they go on as if nothing had happened."""
    # MMDetection and its samplers draw from NumPy's global numbers.
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
