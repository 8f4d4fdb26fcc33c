"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffmusic import Spec, hookimpl

if TYPE_CHECKING:
    import click


@hookimpl
def diffmusic_backbones() -> list[Spec]:
    return [
        Spec(
            "stable-diffusion",
            "diffmusic_images.stable_diffusion:StableDiffusion.load",
            "Stable Diffusion 1 and 2, a prior of images: diffmusic image",
            pipelines=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
            licence="CreativeML OpenRAIL-M",
            stated="https://huggingface.co/CompVis/stable-diffusion-v1-4",
        )
    ]


@hookimpl
def diffmusic_operators() -> list[Spec]:
    return [
        Spec("box-mask", "diffmusic_images.box_mask:BoxMask", "boxes of an image are lost"),
        Spec("downsampling", "diffmusic_images.downsampling:Downsampling", "an image has too few pixels"),
        Spec("blur", "diffmusic_images.blur:Blur", "a Gaussian blurred an image"),
    ]


@hookimpl
def diffmusic_solvers() -> list[Spec]:
    summary = "edit-friendly inversion of an image, whose code is moved, mirrored or painted on"
    return [Spec("image-inversion", "diffmusic_images.image_inversion:ImageInversion", summary, role="editor")]


@hookimpl
def diffmusic_commands(cli: click.Group) -> None:
    from diffmusic_images.group import image

    cli.add_command(image)
