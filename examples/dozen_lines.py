"""One shape, one network, one verified box, one picture. No Trainer.

python examples/dozen_lines.py
"""

import torch

from lightning_semrob import Box, RenderedFunction, VerifiedFinder, plot_map, save_figure, score_map


def main(
    shape: str = "teapot", network: str = "efficientnet_lite0", image_size: int = 224, output: str = "region.png"
) -> Box:
    """A mesh file is named with its class, ``my_models/mug.glb=coffee_mug``; returns the box."""
    f = RenderedFunction.of(shape, network, image_size=image_size)
    u0 = torch.tensor([[165.0, 20.0]])  # azimuth, elevation in degrees
    box = VerifiedFinder(eps_m=0.3, eps_v=0.05, growth_evaluations=600, verification_evaluations=600).find(
        f, u0, f.space
    )
    print(f"{box.status[0]}: {box.a[0].tolist()} to {box.b[0].tolist()}, {f.evaluations} evaluations")
    save_figure(plot_map(score_map(f, f.space, (24, 11)), f.space, boxes={"verified": box}, points=u0), output)
    return box


if __name__ == "__main__":
    main()
