# What the stages of Cascade R-CNN differ in: how well a box must fit, and how finely it is moved.
cascade_boxes = [
    dict(
        reg_class_agnostic=True,
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_stds=[0.1 / k, 0.1 / k, 0.2 / k, 0.2 / k]
        ),
    )
    for k in (1, 2, 3)
]
cascade_assigners = [
    dict(pos_iou_thr=iou, neg_iou_thr=iou, min_pos_iou=iou) for iou in (0.5, 0.6, 0.7)
]
