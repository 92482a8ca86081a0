# Heads, RoIs and scale of the CPU configuration: mask AP against seconds an image. All start from
# the box's weights; a head that changes its width would not.
#
#   make tune SPACE=configs/tune/heads.py TRIALS=24
#
# Two objectives: nothing is pruned, and a trial is a run of about 6 minutes on two cores. Let one
# worker search alone, so that the seconds are the model's. Found: docs/results.md.
config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'
objectives = {'coco/segm_mAP': 'maximize', 'seconds_per_image': 'minimize'}
sampler = 'tpe'

_tested = [f'{part}_dataloader.dataset.pipeline.1.scale' for part in ('val', 'test')]
_bins, _mask = 'model.roi_head.mask_roi_extractor.output_size', 'model.train_cfg.rcnn.mask_size'
space = {
    'scale in testing': dict(keys=_tested, choices=[(640, 480), (800, 600), (1024, 768)]),
    'bins of a mask': {
        '14': {},
        '10': {_bins: 10, _mask: 20},
        '7': {_bins: 7, _mask: 14},
    },
    'model.roi_head.mask_head.num_convs': [1, 2],
    'model.train_cfg.rcnn.sampler.num': [32, 64, 128],
    'model.test_cfg.rpn.nms_pre': [400, 800],
    'model.test_cfg.rpn.max_per_img': [300, 450, 600],
    'model.test_cfg.rcnn.score_thr': [0.05, 0.2],
}
