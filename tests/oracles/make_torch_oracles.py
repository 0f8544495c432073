"""Write down what torch's spatial transformer functions return.

`python tests/oracles/make_torch_oracles.py`, with torch installed (2.8 or
later; no lock has it), writes torch_affine_grid.npz and torch_grid_sample.npz
beside this file. Tests compare with the files, so they need no torch.

Gradients are those of sum(output * cotangent). Keys are `<case>_<what>`;
images are channels-last here, as in attnlib.
"""

import itertools
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

HERE = Path(__file__).parent
# (B, H, W, C) of the images and (h, w) of the grid.
SHAPES = {
    "square": ((2, 6, 6, 1), (6, 6)),
    "wide": ((2, 5, 9, 3), (4, 7)),
    "row": ((1, 1, 6, 2), (3, 4)),
    "pixel": ((2, 1, 1, 1), (2, 3)),
}
SIZES = ((5, 5), (3, 8), (1, 4), (1, 1))


def random(seed, *shape):
    """Return float32 normal numbers that depend on the seed alone."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def points(seed, *shape):
    """Return points in and around the image, off every pixel position."""
    generator = np.random.default_rng(seed)
    grid = generator.uniform(-1.7, 1.7, (*shape, 2)).astype("float32")
    # Far outside, but finite.
    grid[0, 0, :2] = [[30, 0.1], [-1e4, 1e4]]
    return grid


def grids():
    """Return affine grids with their gradients, by key."""
    found = {}
    for (height, width), aligned in itertools.product(SIZES, (False, True)):
        case = f"{height}x{width}_{'aligned' if aligned else 'edges'}"
        theta = np.eye(2, 3, dtype="float32") + 0.5 * random(1, 3, 2, 3)
        cotangent = random(2, 3, height, width, 2)
        tensor = torch.tensor(theta, requires_grad=True)
        size = (3, 1, height, width)
        grid = affine_grid(tensor, size, align_corners=aligned)
        (gradient,) = torch.autograd.grad(
            (grid * torch.tensor(cotangent)).sum(), tensor
        )
        found |= {
            f"{case}_theta": theta,
            f"{case}_cotangent": cotangent,
            f"{case}_grid": grid.detach().numpy(),
            f"{case}_to_theta": gradient.numpy(),
        }
    return found


def samples():
    """Return bilinear samples with their gradients, by key."""
    found = {}
    modes = itertools.product(SHAPES, ("zeros", "border"), (False, True))
    for name, padding, aligned in modes:
        case = f"{name}_{padding}_{'aligned' if aligned else 'edges'}"
        shape, size = SHAPES[name]
        images = random(3, *shape)
        grid = points(4, shape[0], *size)
        cotangent = random(5, shape[0], *size, shape[3])
        tensors = [torch.tensor(a, requires_grad=True) for a in (images, grid)]
        sampled = grid_sample(
            tensors[0].permute(0, 3, 1, 2),
            tensors[1],
            mode="bilinear",
            padding_mode=padding,
            align_corners=aligned,
        ).permute(0, 2, 3, 1)
        gradients = torch.autograd.grad(
            (sampled * torch.tensor(cotangent)).sum(), tensors
        )
        found |= {
            f"{case}_images": images,
            f"{case}_grid": grid,
            f"{case}_cotangent": cotangent,
            f"{case}_sampled": sampled.detach().numpy(),
            f"{case}_to_images": gradients[0].numpy(),
            f"{case}_to_grid": gradients[1].numpy(),
        }
    return found


def main():
    """Write both files."""
    torch.set_num_threads(1)
    for name, found in (("affine_grid", grids()), ("grid_sample", samples())):
        path = HERE / f"torch_{name}.npz"
        np.savez_compressed(path, torch=torch.__version__, **found)
        print(f"{path.name}: {len(found)} arrays")


if __name__ == "__main__":
    main()
