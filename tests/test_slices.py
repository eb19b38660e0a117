"""How topologies are cut into hosts, and what of engine.jobset is refused where it is read."""

import pytest
from pydantic import ValidationError

from scaling.config import EngineConfig, JobSetConfig, explain
from scaling.config.slices import SliceShape, shapes

PUBLISHED = [
    # as the sources named in scaling/config/slices.py list them: accelerator, topology, [(machines, chips of each)]
    ("tpu-v4-podslice", "2x2x1", [(1, 4)]),
    ("tpu-v4-podslice", "2x2x2", [(2, 4)]),
    ("tpu-v5-lite-podslice", "1x1", [(1, 1)]),
    ("tpu-v5-lite-podslice", "2x2", [(1, 4)]),
    ("tpu-v5-lite-podslice", "2x4", [(1, 8), (2, 4)]),
    ("tpu-v5-lite-podslice", "4x4", [(4, 4)]),
    ("tpu-v5-lite-podslice", "16x16", [(64, 4)]),
    ("tpu-v5p-slice", "2x2x1", [(1, 4)]),
    ("tpu-v5p-slice", "4x4x4", [(16, 4)]),
    ("tpu-v6e-slice", "1x1", [(1, 1)]),
    ("tpu-v6e-slice", "2x4", [(1, 8), (2, 4)]),
    ("tpu-v6e-slice", "4x8", [(8, 4)]),
    ("tpu7x", "1x1x1", [(1, 1)]),
    ("tpu7x", "2x2x2", [(2, 4)]),
]


@pytest.mark.parametrize(("accelerator", "topology", "machines"), PUBLISHED)
def test_hosts_and_chips_are_the_published_ones(accelerator, topology, machines):
    assert shapes(accelerator, topology) == tuple(SliceShape(*one) for one in machines)


def test_chips_a_host_choose_between_two_ways():
    assert shapes("tpu-v6e-slice", "2x4", 4) == (SliceShape(2, 4),)
    assert shapes("tpu-of-tomorrow", "4x4", 8) == (SliceShape(2, 8),)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"accelerator": "tpu-v6e-slice", "topology": "3x3"}, "topology is 3x3, and tpu-v6e-slice has no hosts for 9"),
        ({"accelerator": "tpu-v6e-slice", "topology": "2x2x1"}, "tpu-v6e-slice has 2 axes; write it as 2x4"),
        ({"accelerator": "tpu-v4-podslice", "topology": "2x4"}, "tpu-v4-podslice has 3 axes; write it as 2x2x4"),
        ({"accelerator": "tpu-v6e-slice", "topology": "2*4"}, "jobset.topology is '2*4'; write it as 2x4"),
        ({"accelerator": "tpu-v6e-slice", "topology": "4x4", "chips_per_host": 8}, "chips_per_host is 8, and 4x4 of"),
        ({"accelerator": "tpu-of-tomorrow", "topology": "2x4"}, "give chips_per_host too"),
        ({"accelerator": "tpu-v6e-slice"}, "topology is null; give it, as 2x4"),
        ({"accelerator": "nvidia-l4", "topology": "2x4"}, "nvidia-l4 is no TPU; leave it out"),
        ({"chips_per_host": 4}, "name the accelerator"),
        ({"namespace": "Lab"}, "jobset.namespace is 'Lab'"),
        ({"claim": "a_b"}, "jobset.claim is 'a_b'"),
        ({"image": "an image"}, "jobset.image is 'an image'"),
        ({"mount_path": "runs"}, "jobset.mount_path is 'runs'"),
        ({"prefix": ["a\nb"]}, "jobset.prefix.0 is 'a\\nb'"),
        ({"secrets": ["TOKEN=abc"]}, "jobset.secrets is not all names of secrets"),
        ({"tpology": "2x4"}, "jobset.tpology is not a field; did you mean topology?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_named(given, said):
    with pytest.raises(ValidationError) as caught:
        EngineConfig.model_validate({"kind": "jobset", "jobset": given})
    assert said in explain(caught.value, EngineConfig)
    assert "abc" not in explain(caught.value, EngineConfig)


def test_gpus_and_cpus_have_no_slices():
    assert JobSetConfig().slices == ()
    assert JobSetConfig(accelerator="nvidia-l4", chips_per_host=4).slices == ()
