"""Places are read where features are, and move with them."""

import torch

from mutoscope.zoo.nets.places import PlaceEncoder, places_of


def test_places_go_from_corner_to_corner():
    places = places_of(3, 5)
    assert places.shape == (15, 2)
    assert places[0].tolist() == [-1, -1]
    assert places[4].tolist() == [-1, 1]
    assert places[7].tolist() == [0, 0]


def test_an_encoder_gives_numbers_of_each_image_by_itself():
    torch.manual_seed(0)
    encoder, images = PlaceEncoder((3, 6, 8), 5, 4), torch.rand(2, 3, 3, 6, 8)
    found = encoder(images)
    assert found.shape == (2, 3, 4)
    torch.testing.assert_close(found[1, 2], encoder(images[1:2, 2:3])[0, 0])


def test_a_shift_of_what_is_seen_is_a_shift_of_its_places():
    torch.manual_seed(0)
    encoder = PlaceEncoder((1, 21, 21), 5, 4).double()
    with torch.no_grad():
        encoder.features[-1].weight.mul_(2e3)  # sharp maps, so that the margin counts nothing
    encoder.net = torch.nn.Identity()
    image = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    image[..., 9:12, 9:12] = torch.rand(3, 3, dtype=torch.float64)
    shifted = encoder(image.roll((2, -1), (-2, -1))) - encoder(image)
    inside = encoder(image).unflatten(-1, (-1, 2)).abs().amax(-1) < 0.5
    assert inside.sum() >= 4
    expected = torch.tensor([0.2, -0.1], dtype=torch.float64).expand(int(inside.sum()), 2)
    torch.testing.assert_close(shifted.unflatten(-1, (-1, 2))[inside], expected, atol=5e-3, rtol=0)
