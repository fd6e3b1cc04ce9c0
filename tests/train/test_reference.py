"""Taking over generators of the CycleGAN and pix2pix authors' repository."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from tests.support.reference_weights import Shapes, draw, resnet_shapes, unet_shapes
from train.errors import RunError
from train.nets import make_generator
from train.reference import load_reference


def save(path: Path, weights: object, zipped: bool = True) -> Path:
    torch.save(weights, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize(
    ("arch", "shapes", "settings"),
    [
        (
            "resnet_9blocks",
            resnet_shapes(),
            {"generator": "resnet9", "norm": "instance", "channels_in": 3, "width": 4, "dropout": False},
        ),
        (
            "resnet_6blocks",
            resnet_shapes(5, 6, batch=True, dropout=True),
            {"generator": "resnet6", "norm": "batch", "channels_in": 3, "width": 5, "dropout": True},
        ),
        (
            "unet_128",
            unet_shapes(7),
            {"generator": "unet128", "norm": "batch", "channels_in": 3, "width": 2, "dropout": True},
        ),
        (
            "unet_256",
            unet_shapes(8),
            {"generator": "unet256", "norm": "batch", "channels_in": 3, "width": 2, "dropout": True},
        ),
    ],
)
def test_the_authors_weights_load_unchanged(
    tmp_path: Path, arch: str, shapes: Shapes, settings: dict[str, object]
) -> None:
    weights = draw(shapes)
    for zipped in (True, False):  # PyTorch wrote another format before 1.6
        net, found = load_reference(save(tmp_path / "latest_net_G.pth", weights, zipped), arch)
        assert found == settings
        assert not net.training
        loaded = net.state_dict()
        assert loaded.keys() == weights.keys()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_the_architecture_is_read_off_the_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "latest_net_G_A.pth", draw(resnet_shapes(blocks=6)))
    assert load_reference(path)[1]["generator"] == "resnet6"
    with pytest.raises(
        RunError, match=r"does not fit resnet_9blocks: .* of resnet_6blocks; type --arch resnet_6"
    ):
        load_reference(path, "resnet_9blocks")
    with pytest.raises(RunError, match="does not fit unet_256: its weights are of resnet_6blocks"):
        load_reference(path, "unet_256")


def test_what_several_gpus_old_versions_and_half_precision_leave_in_a_file_is_taken_away(
    tmp_path: Path,
) -> None:
    weights = draw(resnet_shapes())
    old = OrderedDict((f"module.{name}", tensor.half()) for name, tensor in weights.items())
    for norm in ("2", "5", "10.conv_block.2"):
        old[f"module.model.{norm}.running_mean"] = torch.zeros(4)
        old[f"module.model.{norm}.running_var"] = torch.ones(4)
        old[f"module.model.{norm}.num_batches_tracked"] = torch.tensor(3)
    net, settings = load_reference(save(tmp_path / "old.pth", old))
    assert settings["norm"] == "instance"
    assert net.state_dict().keys() == weights.keys()
    assert net.state_dict()["model.1.weight"].dtype == torch.float32


def test_files_that_are_no_generator_are_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no file .*nowhere\.pth"):
        load_reference(tmp_path / "nowhere.pth")
    (tmp_path / "text.pth").write_text("weights, promised")
    with pytest.raises(RunError, match=r"text\.pth is no file of PyTorch: needed is latest_net_G"):
        load_reference(tmp_path / "text.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(RunError, match=r"empty\.pth cannot be read as PyTorch weights: it is empty"):
        load_reference(tmp_path / "empty.pth")
    discriminator = {"model.0.weight": torch.zeros(4, 3, 4, 4), "model.0.bias": torch.zeros(4)}
    path = save(tmp_path / "latest_net_D.pth", discriminator)
    with pytest.raises(
        RunError, match=r"found are model\.0\.weight, model\.0\.bias; needed .*not latest_net_D"
    ):
        load_reference(path)
    with pytest.raises(RunError, match="is no state dict: needed is one tensor per name"):
        load_reference(save(tmp_path / "list.pth", [torch.zeros(1)]))
    with pytest.raises(RunError, match=r"found are model\.0\.weight, model\.0\.bias; needed"):
        load_reference(save(tmp_path / "wrapped.pth", {"state_dict": discriminator}))
    seven = {name: torch.zeros(shape) for name, shape in resnet_shapes(blocks=7).items()}
    with pytest.raises(RunError, match="is no generator of the authors' repository: .* and 37 more"):
        load_reference(save(tmp_path / "seven.pth", seven))


@pytest.mark.parametrize("prefix", ["", "module.", "module.module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapped", [None, "state_dict", "netG_A2B"])
def test_a_generator_is_found_however_it_was_wrapped(
    tmp_path: Path, prefix: str, wrapped: str | None
) -> None:
    weights = draw(resnet_shapes(blocks=6))
    found: dict[str, object] = {prefix + name: tensor for name, tensor in weights.items()}
    if wrapped is not None:
        found = {wrapped: found, "epoch": 3, "optimizer": {"lr": 1e-4}}
    net, settings = load_reference(save(tmp_path / "found.pth", found))
    assert settings["generator"] == "resnet6"
    assert all(torch.equal(tensor, weights[name]) for name, tensor in net.state_dict().items())


def test_of_several_generators_in_one_file_the_named_one_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "both.pth", {"A2B": draw(resnet_shapes()), "B2A": draw(resnet_shapes(blocks=6))})
    with pytest.raises(RunError, match="holds several state dicts, A2B, B2A: say which by --key A2B"):
        load_reference(path)
    assert load_reference(path, key="B2A")[1]["generator"] == "resnet6"
    with pytest.raises(RunError, match="has no state dict 'C': it holds A2B, B2A"):
        load_reference(path, key="C")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    weights = draw(resnet_shapes())
    weights["model.4.weight"][0, 0, 0, 0] = bad
    with pytest.raises(RunError, match=r"1 weight\(s\) that are no numbers .*the first is model\.4\.weight"):
        load_reference(save(tmp_path / "bad.pth", weights))


def test_a_file_that_holds_code_is_not_run(tmp_path: Path) -> None:
    save(tmp_path / "module.pth", make_generator("resnet6", width=2))
    with pytest.raises(
        RunError, match="holds more than weights, which is not loaded: .*Needed is a state dict"
    ):
        load_reference(tmp_path / "module.pth")


def test_other_channels_than_a_styles_and_damaged_layouts_are_refused(tmp_path: Path) -> None:
    grey = draw(resnet_shapes() | {"model.1.weight": (4, 1, 7, 7)})
    with pytest.raises(RunError, match=r"turns 1 channel\(s\) into 3: a style turns 3 into 3"):
        load_reference(save(tmp_path / "grey.pth", grey))
    broken = draw(resnet_shapes())
    del broken["model.22.weight"]
    with pytest.raises(
        RunError, match=r"looks like resnet_9blocks but does not fit: Missing key.*model\.22\.weight"
    ):
        load_reference(save(tmp_path / "broken.pth", broken))
