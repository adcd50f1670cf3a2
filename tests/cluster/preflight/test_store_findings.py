"""What a preflight says about a store's people."""

from pipelines.loading import doubts
from samplers.identities import FaceStore, write_store
from samplers.identities.faceid import FaceIdIdentitiesConfig
from tests.support.tiny_faces import ABOUT, random_embeddings


def test_check_tells_of_near_faces(tmp_path, make_config):
    path = tmp_path / "faces.parquet"
    rows = random_embeddings(4)
    rows[2:] = 0.05 * rows[2:] + rows[:2]
    write_store(path, FaceStore.build(rows, list("abcd"), ABOUT))

    def found(**keys):
        identities = FaceIdIdentitiesConfig(source="faceid", store=str(path), **keys)
        return doubts(make_config().model_copy(update={"identities": identities}))

    (said,) = found()
    assert said.startswith(
        f"identities.store: {path}: 2 pairs of faces under different names have a cosine of 0.90 or"
    )
    assert found(synthetic={"min_distance": 0.5}) == []
    assert doubts(make_config()) == []
