"""Short labels of networks."""

from __future__ import annotations

import pytest

from lightning_semrob.networks import network_labels, network_spec


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["torchvision/mobilenet_v2@/far/away/mobilenet_v2-b0353104.pth"], ["mobilenet_v2"]),
        (["timm/a@x/w.pth", "timm/a@y/w.pth"], ["timm/a@x/w.pth", "timm/a@y/w.pth"]),
        (["timm/a@x/v.pth", "timm/a", "timm/b"], ["a@v", "timm/a", "b"]),
        (["a?normalize=none", "a?normalize=imagenet"], ["a?normalize=none", "a?normalize=imagenet"]),
        (["a?label=mine", "b?label=mine", "c"], ["a", "b", "c"]),
        (["a?normalize=none&label=mine", "a", "a"], ["mine", "a", "a"]),
        (["package.module:callable"], ["package.module:callable"]),
    ],
)
def test_labels_are_short_and_different(names: list[str], labels: list[str]) -> None:
    found = network_labels(names)
    assert found == labels
    assert len(set(found)) == len(set(names))


def test_a_label_changes_nothing_else() -> None:
    one, other = network_spec("small_resnet?input_size=64"), network_spec("small_resnet?input_size=64&label=mine")
    assert (one.input_size, one.mean, one.std) == (other.input_size, other.mean, other.std)
    assert other.name == "small_resnet?input_size=64&label=mine"
    with pytest.raises(ValueError, match="the label is empty"):
        network_spec("small_resnet?label=")
