import pytest
import torch

from equipoise import models

NYUD = {"seg": 40, "depth": 1, "normals": 3, "edge": 1}


def test_parameters_of_trunk_and_heads():
    model = models.create("shared", tasks=NYUD, backbone="resnet18")
    assert sum(p.numel() for p in model.shared_parameters()) == 11_176_512
    assert {task: sum(p.numel() for p in model.task_parameters(task)) for task in NYUD} == {
        "seg": 4_732_456,
        "depth": 4_722_433,
        "normals": 4_722_947,
        "edge": 4_722_433,
    }


def test_deeplab_refuses_to_train_on_one_image_but_predicts_it():
    model = models.create("shared", tasks={"depth": 1}, backbone="test_resnet")
    with pytest.raises(ValueError, match=r"at least 2 images .* Found 1\. .*drop_last"):
        model(torch.randn(1, 3, 64, 64))
    assert model.eval()(torch.randn(1, 3, 64, 64)).predictions["depth"].shape == (1, 1, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "sharde"}, r"`architecture` should be one of .*\. Found .*Did you mean `shared`\?"),
        ({"backbone": "test_resnt"}, r"Did you mean `test_resnet`\?"),
        ({"decoder": "deplab"}, r"`decoder` should be one of .* Did you mean `deeplab`\?"),
        ({"output_strid": 8}, r"Found `output_strid = 8`\. Did you mean `output_stride`\?"),
        ({"decoder_options": {"widht": 8}}, r"Decoder `deeplab` .* Found `widht = 8`\. Did you mean `width`\?"),
        ({"decoder": "concat", "decoder_options": {"width": 8}}, r"Decoder `concat` takes no options"),
        ({"tasks": {}}, r"`tasks` should name at least one task"),
        ({"tasks": {"a.b": 1}}, r"Found 'a\.b'"),
        ({"tasks": {"keys": 1}}, r"Found 'keys'"),
        ({"tasks": {"depth": 0}}, r"Found `tasks\['depth'\] = 0`"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    good = {"architecture": "shared", "tasks": {"depth": 1}, "backbone": "test_resnet"}
    with pytest.raises(ValueError, match=message):
        models.create(**{**good, **arguments})


def test_unknown_task():
    model = models.create("shared", tasks={"depth": 1}, backbone="test_resnet")
    with pytest.raises(ValueError, match=r"`task` should be one of \['depth'\]\. Found `task = 'seg'`"):
        list(model.task_parameters("seg"))
