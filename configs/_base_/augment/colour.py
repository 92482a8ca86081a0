# Stain, colour of the light, exposure. After the crop; takes the place of PhotoMetricDistortion.
augment_colour = [
    dict(type='StainJitter', prob=0.8, scale=0.2, shift=0.02),
    dict(
        type='AlbuCells',
        steps=[
            dict(type='PlanckianJitter', temperature_limit=(5000, 8000), p=0.3),
            dict(
                type='HueSaturationValue',
                hue_shift_limit=8,
                sat_shift_limit=20,
                val_shift_limit=0,
                p=0.5,
            ),
            dict(type='RandomGamma', gamma_limit=(75, 133), p=0.5),
            dict(
                type='RandomBrightnessContrast',
                brightness_limit=(-0.2, 0.1),
                contrast_limit=0.2,
                brightness_by_max=False,
                p=0.5,
            ),
        ],
    ),
]
