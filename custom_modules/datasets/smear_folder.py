"""A lab's unlabelled pictures as a training set."""

from __future__ import annotations

from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger

from cellkit.errors import UserError
from cellkit.files.listing import LeftOut, pictures_below

NAME_ANOTHER = 'name a folder with pictures of smears (SMEARS=FOLDER)'


@DATASETS.register_module()
class SmearFolder(BaseDataset):
    """The pictures in a folder and all below it, by path; nothing else is known of them.

    A sample is ``img_path``, for a pipeline that starts with ``LoadSmear``. What is left out is
    logged.

    Raises:
        UserError: The folder is not there or holds no picture.
    """

    def load_data_list(self) -> list[dict]:
        """Looks through ``data_root``."""
        folder, left_out = Path(self.data_root or '.'), LeftOut()
        if not folder.is_dir():
            raise UserError(f'{folder} is no folder: {NAME_ANOTHER}')
        paths = sorted(pictures_below(folder, left_out))
        sentences = left_out.sentences()
        if not paths:
            why = f' ({"; ".join(sentences)})' if sentences else ''
            raise UserError(f'{folder} holds no picture{why}: {NAME_ANOTHER}')
        logger = MMLogger.get_current_instance()
        for sentence in (f'{len(paths)} pictures in {folder}', *sentences):
            logger.info(f'{sentence}.')
        return [dict(img_path=str(path)) for path in paths]
