# Focus, shaking, uneven light, the camera's noise, JPEG: in this order, as a picture comes about.
# After the crop and whatever changes cells or colours.
augment_optics = [
    dict(
        type='AlbuCells',
        steps=[
            dict(
                type='OneOf',
                transforms=[
                    dict(type='GaussianBlur', blur_limit=0, sigma_limit=(0.4, 2.0), p=1.0),
                    dict(type='MotionBlur', blur_limit=(3, 5), allow_shifted=False, p=1.0),
                ],
                p=0.4,
            ),
            dict(
                type='OneOf',
                transforms=[
                    # Vignetting: all darker, and the middle as it was.
                    dict(
                        type='Sequential',
                        transforms=[
                            dict(
                                type='RandomBrightnessContrast',
                                brightness_limit=0,
                                contrast_limit=(-0.3, -0.1),
                                p=1.0,
                            ),
                            dict(
                                type='Illumination',
                                mode='gaussian',
                                effect_type='brighten',
                                intensity_range=(0.1, 0.2),
                                center_range=(0.3, 0.7),
                                sigma_range=(0.3, 0.6),
                                p=1.0,
                            ),
                        ],
                        p=1.0,
                    ),
                    dict(type='Illumination', mode='linear', intensity_range=(0.05, 0.2), p=1.0),
                ],
                p=0.4,
            ),
            dict(type='GaussNoise', std_range=(0.01, 0.04), p=0.3),
            dict(type='ImageCompression', quality_range=(30, 90), p=0.3),
        ],
    ),
]
