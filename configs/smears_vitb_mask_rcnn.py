# The main model on synthetic smears alone: a start for smears where ImageNet's weights can't be
# downloaded or may not be used.
#
#   make prepare && make train CONFIG=configs/smears_vitb_mask_rcnn.py
#   make train CONFIG=configs/bccd_vitb_mask_rcnn_2k.py \
#     OPTS="load_from=work_dirs/smears_vitb_mask_rcnn/iter_2000.pth optim_wrapper.optimizer.lr=2e-4"
#
# The 2,000 steps: not measured. 175 of 300 took 2 min 20 s on an H200 beside another training, and
# were start enough for the figure in bccd_vitb_mask_rcnn_2k.py.
_base_ = 'bccd_vitb_mask_rcnn_2k.py'

# A field is drawn as large as the crops: nothing to load, to resize or to cut.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='SyntheticSmears',
        size=(640, 640),
        pipeline=_base_.train_pipeline[4:],
    )
)
# From scratch every layer learns at the full rate.
model = dict(backbone=dict(init_cfg=None))
optim_wrapper = dict(
    optimizer=dict(lr=4e-4, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=1.0)
)
