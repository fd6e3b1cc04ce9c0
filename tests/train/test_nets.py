"""Generators, discriminators and how they start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.drawings import draw_image
from tools.gallery.filters.kuwahara import kuwahara
from train.errors import RunError
from train.nets import GENERATORS, count_parameters, make_generator
from train.nets.discriminators import PatchDiscriminator
from train.nets.layers import BinomialBlur, SoftKuwahara, init_icnr
from train.nets.noise import DcganDiscriminator, DcganGenerator, MlpDiscriminator, MlpGenerator


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine cost a test more than they give it."""
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "norm", "millions"),
    [
        ("resnet9", "instance", 11.378),
        ("resnet6", "instance", 7.838),
        ("unet256", "batch", 54.414),
        ("unet128", "batch", 41.829),
        ("mobile16", "instance", 0.137),
    ],
)
def test_generators_of_papers_have_the_published_number_of_parameters(
    name: str, norm: str, millions: float
) -> None:
    with torch.device("meta"):
        net = make_generator(name, norm)
    assert round(count_parameters(net) / 1e6, 3) == millions


@pytest.mark.parametrize(
    ("patch", "channels_in", "norm", "millions"),
    [("70", 3, "instance", 2.765), ("70", 6, "batch", 2.769), ("pixel", 3, "instance", 0.009)],
)
def test_discriminators_have_the_published_number_of_parameters(
    patch: str, channels_in: int, norm: str, millions: float
) -> None:
    net = PatchDiscriminator(norm=norm, channels_in=channels_in, patch=patch)
    assert round(count_parameters(net) / 1e6, 3) == millions


@pytest.mark.parametrize("name", [name for name in GENERATORS if not name.startswith("unet")])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_every_generator_translates_its_smallest_and_odder_sizes(name: str, norm: str) -> None:
    net = make_generator(name, norm, width=8, channels_in=5)
    for height, width in ((net.minimum_px, net.minimum_px), (2 * net.minimum_px + net.multiple, 48)):
        found = net(torch.rand(2, 5, height, width) * 2 - 1)
        assert found.shape == (2, 3, height, width)
        assert found.abs().max() <= 1.0
    assert height % net.multiple == 0


@pytest.mark.parametrize(("name", "side"), [("unet128", 128), ("unet256", 256)])
def test_a_unet_takes_the_size_in_its_name_and_multiples_of_it(name: str, side: int) -> None:
    net = make_generator(name, "batch", width=2, channels_in=4, dropout=True)
    assert (net.multiple, net.minimum_px) == (side, side)
    assert net(torch.rand(1, 4, side, 2 * side)).shape == (1, 3, side, 2 * side)


def test_the_noise_of_a_unet_is_dropout_and_ends_with_training() -> None:
    net = make_generator("unet128", "instance", width=2, dropout=True)
    image = torch.rand(1, 3, 128, 128)
    assert not torch.equal(net(image), net(image))
    net.eval()
    assert torch.equal(net(image), net(image))


def test_the_variants_halve_by_blurring_and_double_without_transposed_convolutions() -> None:
    net = make_generator("resnet6", width=4, down="blur", up="nearest")
    kinds = [type(module).__name__ for module in net.modules()]
    assert kinds.count("BinomialBlur") == 2
    assert kinds.count("Upsample") == 2
    assert "ConvTranspose2d" not in kinds
    assert net(torch.rand(1, 3, 20, 24)).shape == (1, 3, 20, 24)


def test_a_binomial_blur_keeps_brightness_and_removes_what_repeats_every_two_pixels() -> None:
    blur = BinomialBlur(1)
    assert torch.allclose(blur(torch.full((1, 1, 6, 6), 0.3)), torch.tensor(0.3))
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)
    assert blur(stripes).abs().max().item() == 0.0
    single = torch.zeros(1, 1, 5, 5)
    single[..., 2, 2] = 1.0
    assert blur(single)[0, 0, 2, 1:4].tolist() == [0.125, 0.25, 0.125]


@pytest.mark.parametrize("name", ["hg48", "pu48", "pu32"])
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_small_generators_start_as_the_identity(name: str, norm: str) -> None:
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(make_generator(name, norm)(image), image)
    with_noise = make_generator(name, norm, channels_in=4)
    assert torch.equal(with_noise(torch.cat([image, torch.rand(1, 1, 32, 32)], dim=1)), image)


def test_the_flattening_filter_keeps_edges_and_plain_ground_and_agrees_with_the_one_of_eight_sectors() -> (
    None
):
    flatten = SoftKuwahara(5)
    assert not list(flatten.parameters())
    assert not flatten.state_dict()
    plain = torch.tensor([-0.7, 0.0, 0.7]).view(1, 3, 1, 1).expand(1, 3, 40, 48)
    assert torch.allclose(flatten(plain), plain, atol=1e-5)
    edge = torch.where(torch.arange(48) < 24, -0.6, 0.5).expand(1, 3, 40, 48)
    assert (flatten(edge) - edge).abs().max() < 1 / 127.5
    assert (BinomialBlur(3)(edge) - edge).abs().max() > 30 / 127.5
    grain = plain + 0.1 * torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))
    assert float((flatten(grain) - plain).std()) < 0.4 * 0.1
    noise = np.random.default_rng(0).normal(0, 12, (64, 80, 1))
    image = np.clip(draw_image(64, 80, 3, (110, 120, 100)) + noise, 0, 255).astype(np.uint8)
    as_float = torch.from_numpy(image).permute(2, 0, 1)[None] / 127.5 - 1
    flat = (flatten(as_float)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    expected = kuwahara(image, 5).astype(float)
    assert np.abs(flat - expected).mean() < 0.25 * np.abs(image - expected).mean()


def test_the_flattening_filter_is_computed_in_float32_under_autocast_and_passes_finite_gradients() -> None:
    flatten = SoftKuwahara(5)
    image = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image[..., :12, :] = 1.0  # plain: the deviation is 0 there
    with torch.autocast("cpu", torch.bfloat16):
        under = flatten(image)
    assert torch.equal(under, flatten(image))
    leaf = image.clone().requires_grad_()
    flatten(leaf).square().sum().backward()
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()
    assert leaf.grad.abs().mean() > 0.1


def test_the_painting_hourglass_starts_as_the_flattened_image_and_passes_noise_on() -> None:
    net = make_generator("paint48", "none")
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    flat = SoftKuwahara()(image)
    assert torch.equal(net(image), flat)
    noise = torch.rand(1, 1, 32, 32)
    assert torch.equal(
        make_generator("paint48", "none", channels_in=4)(torch.cat([image, noise], dim=1)), flat
    )
    assert set(net.state_dict()) == set(make_generator("hg48", "none").state_dict())


def test_the_flat_hourglass_starts_as_the_flattened_image_and_sees_the_image_too() -> None:
    net = make_generator("flat48", "none")
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    assert torch.equal(net(image), SoftKuwahara()(image))
    first = net.get_parameter("fold.1.weight")
    assert first.shape[1] == 6 * 16
    torch.nn.init.normal_(net.get_parameter("head.2.weight"), 0, 0.1)
    found = net(image)
    with torch.no_grad():
        first[:, 3 * 16 :] = 0  # what it sees of the image itself
    assert (net(image) - found).abs().max() > 0.01
    with_noise = make_generator("flat48", "none", channels_in=4)
    assert torch.equal(with_noise(torch.cat([image, image[:, :1]], dim=1)), SoftKuwahara()(image))


@pytest.mark.parametrize("name", ["hg48", "pu48"])
def test_a_small_generator_comes_back_from_far_out_of_the_range(name: str) -> None:
    net = make_generator(name, "none")
    bias = net.get_parameter("head.2.bias" if name == "hg48" else "head.0.bias")
    torch.nn.init.constant_(bias, 5.0)
    target = torch.zeros(1, 3, 32, 32)
    out = net(target)
    assert torch.equal(out, torch.ones_like(out))
    (out - target).abs().mean().backward()
    assert bias.grad is not None
    assert bias.grad.abs().min() > 0.001
    net.eval()
    assert torch.equal(net(target), out)


def test_the_drawing_hourglass_gives_no_sharp_edge_of_its_input_back() -> None:
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    checked = ((rows + columns) % 2 * 2.0 - 1.0).expand(1, 3, 32, 32)

    def alternating(name: str) -> float:
        drawn = make_generator(name, "none")(checked).detach()
        return float((drawn * checked).mean().abs())

    assert alternating("hg48") == 1.0
    assert alternating("draw48") < 1e-3
    wide = make_generator("draw48", "none", width=8)(torch.rand(1, 3, 32, 32))
    assert wide.shape == (1, 3, 32, 32)
    assert wide.abs().max() < 1


def test_icnr_starts_without_a_block_pattern() -> None:
    convolution = torch.nn.Conv2d(5, 48, 3, padding=1, padding_mode="reflect")
    init_icnr(convolution, 4)
    shuffled = torch.nn.functional.pixel_shuffle(convolution(torch.rand(1, 5, 6, 6)), 4)
    blocks = torch.nn.functional.pixel_unshuffle(shuffled, 4).unflatten(1, (3, 16))  # type: ignore[no-untyped-call]
    assert torch.equal(blocks.amax(dim=2), blocks.amin(dim=2))
    assert shuffled.std() > 0
    net = make_generator("pu32", init="icnr")
    image = torch.rand(1, 3, 32, 32)
    assert not torch.equal(net(image), image)


def test_the_names_of_the_hourglass_weights_stay() -> None:
    names = set(make_generator("hg48").state_dict())
    assert len(names) == 72
    assert {"fold.1.weight", "fold.4.body.4.bias", "down.0.weight", "body.5.body.3.weight"} <= names
    assert {"up.1.weight", "head.0.bias", "head.2.weight"} <= names


def test_what_a_generator_lacks_is_refused_with_its_name() -> None:
    with pytest.raises(RunError, match="no generator 'resnet8': there are hg48, .*did you mean 'resnet"):
        make_generator("resnet8")
    with pytest.raises(RunError, match="generator hg48 has no option down blur: leave it out"):
        make_generator("hg48", down="blur")
    with pytest.raises(RunError, match="generator unet256 has no option up nearest"):
        make_generator("unet256", up="nearest")
    with pytest.raises(RunError, match="generator resnet9 has no option init icnr"):
        make_generator("resnet9", init="icnr")


@pytest.mark.parametrize(("patch", "field_px"), [("pixel", 1), ("16", 16), ("70", 70)])
def test_a_patch_is_as_large_as_its_name(patch: str, field_px: int) -> None:
    net = PatchDiscriminator(4, norm="none", patch=patch)
    image = torch.rand(1, 3, 144, 144, requires_grad=True)
    logits = net(image)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert image.grad is not None
    seen = image.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.amax(dim=0) - seen.amin(dim=0) + 1).tolist() == [field_px, field_px]


def test_features_are_those_behind_every_leaky_relu_and_the_logits() -> None:
    net = PatchDiscriminator(4, channels_in=6)
    image = torch.rand(2, 6, 64, 64)
    features = net.features(image)
    assert [tuple(found.shape[1:]) for found in features] == [
        (4, 32, 32),
        (8, 16, 16),
        (16, 8, 8),
        (32, 7, 7),
        (1, 6, 6),
    ]
    assert torch.equal(features[-1], net(image))
    with pytest.raises(RunError, match="no discriminator with patch '35': there are pixel, 16, 70, 286"):
        PatchDiscriminator(patch="35")


@pytest.mark.parametrize("classes", [0, 3])
def test_nets_from_noise_draw_images_and_judge_them(classes: int) -> None:
    labels = torch.tensor([0, 2]) if classes else None
    pairs = (
        (MlpGenerator(7, 16, 3, classes, 8), MlpDiscriminator(16, 3, classes, 8)),
        (DcganGenerator(7, 16, 1, classes, 4), DcganDiscriminator(16, 1, classes, 4)),
        (DcganGenerator(7, 64, 3, classes, 2), DcganDiscriminator(64, 3, classes, 2)),
    )
    for generator, discriminator in pairs:
        images = generator(torch.randn(2, 7), labels)
        assert images.abs().max() <= 1.0
        assert discriminator(images, labels).shape == (2,)
    assert images.shape == (2, 3, 64, 64)


def test_the_asked_class_changes_the_image_and_the_judgement() -> None:
    z, image = torch.randn(1, 7), torch.rand(1, 3, 16, 16)
    for generator, discriminator in (
        (MlpGenerator(7, 16, classes=2), MlpDiscriminator(16, classes=2)),
        (DcganGenerator(7, 16, classes=2), DcganDiscriminator(16, classes=2)),
    ):
        generator.eval()
        discriminator.eval()
        first, second = torch.tensor([0]), torch.tensor([1])
        assert not torch.equal(generator(z, first), generator(z, second))
        assert not torch.equal(discriminator(image, first), discriminator(image, second))
        with pytest.raises(ValueError, match="a network of 2 classes was not given labels"):
            generator(z)


def test_dcgan_is_built_and_started_as_in_the_paper() -> None:
    generator, discriminator = DcganGenerator(), DcganDiscriminator()
    assert count_parameters(generator) == 3_576_707
    assert [m.out_channels for m in generator.modules() if isinstance(m, torch.nn.ConvTranspose2d)] == [
        512,
        256,
        128,
        64,
        3,
    ]
    norms = [
        sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()) for net in (generator, discriminator)
    ]
    assert norms == [4, 3]
    drawn = torch.cat([p.flatten() for p in discriminator.parameters() if p.dim() == 4])
    assert drawn.std().item() == pytest.approx(0.02, rel=0.02)
    with pytest.raises(RunError, match="a DCGAN draws no images of 48 px: needed is a power of two from 8"):
        DcganGenerator(side=48)
