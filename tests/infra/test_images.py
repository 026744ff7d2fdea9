"""Runs both images; only ``make images-check`` runs this, after building them."""

import json
import os
import time

import pytest
import yaml

from components.deploy.smoke import query_golden_case
from components.model.bundle_files import Bundle
from infra.images import slim
from pipelines.cluster.compiling import compile_pipeline
from pipelines.definitions import phantom
from pipelines.local import predictor_process
from tests.components.model.bundles import make_bundle
from tests.e2e import containers

pytestmark = pytest.mark.slow

PIPELINE = os.environ.get("SRS_PIPELINE_IMAGE", "localhost/srs-response-pipeline:0.1.0")
PREDICTOR = os.environ.get("SRS_PREDICTOR_IMAGE", "localhost/srs-response-predictor:0.1.0")
LABELS = {f"org.opencontainers.image.{name}" for name in ("title", "description", "licenses", "version", "revision")}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with containers.engine(tmp_path_factory.mktemp("engine")) as found:
        yield found


@pytest.mark.parametrize("image", [PIPELINE, PREDICTOR])
def test_image_names_its_user_and_itself(client, image):
    facts = client.images.get(containers.need_image(client, image)).attrs
    assert facts["Config"]["User"] == "10001:10001"
    assert set(facts["Config"]["Labels"]) >= LABELS
    print(f"\n  {image}: {facts['Size'] / 1e6:.0f} MB")


def test_pipelines_image_is_no_larger_than_it_says(client):
    if "cuda" in PIPELINE:
        pytest.skip("CUDA's packages take more")
    size = client.images.get(containers.need_image(client, PIPELINE)).attrs["Size"]
    assert size < 2.7e9, "infra/README.md"


def run(client, image: str, command: list[str], **arguments) -> str:
    """Output of a container as the cluster would start it; it must exit with 0."""
    with containers.running(client, image, command, **containers.RESTRICTED, **arguments) as container:
        assert container.wait()["StatusCode"] == 0, container.logs().decode()
        return container.logs(stderr=False).decode()


def run_python(client, image: str, code: str) -> str:
    return run(client, containers.need_image(client, image), ["-c", code], entrypoint=["python3"])


def test_predictor_holds_neither_tensorflow_nor_mlflow(client):
    code = "import importlib.util as u; print([n for n in ('tensorflow', 'mlflow', 'kfp', 'pip') if u.find_spec(n)])"
    assert run_python(client, PREDICTOR, code).strip() == "[]"


#: What the platform, or a user's network, asks of the packages that the image holds in part.
KERAS = """
import os, sys, tempfile
os.environ["KERAS_BACKEND"] = sys.argv[1]
import keras, numba, numpy as np
assert keras.backend.backend() == sys.argv[1]
net = keras.Sequential([
    keras.Input((32, 32, 1)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.MaxPooling2D(2),
    keras.layers.GroupNormalization(2), keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
images = np.random.default_rng(0).random((6, 32, 32, 1), dtype=np.float32)
net.compile(optimizer="sgd", loss="mse", jit_compile=True)
net.fit(images, np.zeros((6, 2)), verbose=0)
answers = net.predict(images, verbose=0)
folder = tempfile.mkdtemp()
net.save(folder + "/net.keras")
assert np.array_equal(keras.models.load_model(folder + "/net.keras").predict(images, verbose=0), answers)
if sys.argv[1] == "jax":
    import jax
    assert jax.devices()[0].platform == "cpu"
    loss = lambda kernel: jax.lax.conv(images.transpose(0, 3, 1, 2), kernel, (1, 1), "VALID").sum()
    assert jax.jit(jax.vmap(jax.grad(loss)))(np.ones((5, 2, 1, 3, 3), np.float32)).shape == (5, 2, 1, 3, 3)
else:
    import tensorflow as tf
    same = tf.function(net, jit_compile=True)(images, training=False)
    np.testing.assert_allclose(same, answers, atol=1e-5)
    net.export(folder + "/saved", verbose=False)
    loaded = tf.saved_model.load(folder + "/saved")
    np.testing.assert_allclose(loaded.serve(images), answers, atol=1e-5)
    import mlflow.tensorflow
assert numba.njit(parallel=True)(lambda numbers: (numbers * numbers).sum())(np.arange(4.0)) == 14
import onnx.checker, onnx.shape_inference, onnxruntime, pandas, pyarrow.parquet, scipy.linalg, sklearn.linear_model
print("done")
"""


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_pipelines_image_trains_compiles_and_exports_on_both_backends(backend, client):
    image = containers.need_image(client, PIPELINE)
    assert run(client, image, ["-c", KERAS, backend], entrypoint=["python3"]).splitlines()[-1] == "done"


def test_pipelines_image_serves_mlflow(client):
    port = predictor_process.free_port()
    line = ["python3", "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
    line.append("--backend-store-uri=sqlite:////tmp/mlflow.db")
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    image, ready = (
        containers.need_image(client, PIPELINE),
        lambda: containers.answers(f"http://127.0.0.1:{port}/health"),
    )
    with containers.server(client, image, line, ready, environment=quiet):
        address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
        assert containers.answers(address)


def test_images_hold_neither_headers_nor_tests_nor_clang(client):
    code = (
        "import pathlib, sysconfig; packages = pathlib.Path(sysconfig.get_path('purelib'));"
        f"print([str(found) for pattern in {slim.UNUSED} for found in packages.glob(pattern)])"
    )
    for image in (PIPELINE, PREDICTOR):
        assert run_python(client, image, code).strip() == "[]"


def test_byte_code_exists(client):
    code = (
        "import importlib.util as u, pathlib, sys; s = u.find_spec('components.common.errors');"
        "print(pathlib.Path(s.cached).is_file(), pathlib.Path(u.find_spec('numpy').cached).is_file())"
    )
    for image in (PIPELINE, PREDICTOR):
        assert run_python(client, image, code).split() == ["True", "True"]


def test_predictor_decodes_every_pixel_syntax_that_training_does(client):
    code = (
        "from pydicom.pixels import decoders, get_decoder; from pydicom.uid import AllTransferSyntaxes;"
        "print(sorted(u for u in AllTransferSyntaxes if u in decoders.base._PIXEL_DATA_DECODERS"
        " and get_decoder(u).is_available))"
    )
    assert run_python(client, PREDICTOR, code) == run_python(client, PIPELINE, code)


def test_kfps_executor_runs_a_component_in_the_pipelines_image(client, tmp_path):
    """The container of the compiled pipeline, with the input that KFP's launcher passes to it."""
    compile_pipeline(phantom.NAME, tmp_path / "phantom.yaml")
    spec = next(yaml.safe_load_all((tmp_path / "phantom.yaml").read_text()))
    (executor,) = spec["deploymentSpec"]["executors"].values()
    out = tmp_path / "out"
    out.mkdir()
    containers.writable(out)
    outputs = {
        "artifacts": {
            "summary": {
                "artifacts": [{"name": "summary", "type": {"schemaTitle": "system.HTML"}, "uri": f"{out}/summary"}]
            }
        },
        "outputFile": f"{out}/executor_output.json",
    }
    values = {"cohort_uri": f"{out}/cohort", "seed": 1, "tumours": 6, "patients": 5, "signal": 1.0}
    values |= {"patient_effect": 0.0, "centres": 1, "centre_effect": 0.0, "contrast_confounder": 0.0}
    handed = json.dumps({"inputs": {"parameterValues": values}, "outputs": outputs})
    container = executor["container"]
    line = [*container["command"], *(part.replace("{{$}}", handed) for part in container["args"])]
    started = time.monotonic()
    mounted = {str(out): {"bind": str(out), "mode": "rw"}}
    image = containers.need_image(client, PIPELINE)
    run(client, image, line, volumes=mounted)
    print(f"\n  component phantom by KFP's executor: {time.monotonic() - started:.1f} s")
    assert (out / "cohort" / "cohort.csv").is_file()
    assert "SYNTHETIC" in (out / "summary").read_text()


def test_predictor_answers_over_http(client, tmp_path):
    bundle = tmp_path / "bundle"
    manifest = make_bundle(bundle)
    containers.readable(bundle)
    port, started = predictor_process.free_port(), time.monotonic()
    url = f"http://127.0.0.1:{port}"
    line = ["--model-dir=/mnt/models", "--host=127.0.0.1", f"--http-port={port}", "--model-version=7"]
    mounted = {str(bundle): {"bind": "/mnt/models", "mode": "ro"}}
    image = containers.need_image(client, PREDICTOR)
    with containers.server(client, image, line, lambda: containers.answers(f"{url}/v2/health/ready"), volumes=mounted):
        print(f"\n  predictor ready after {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        tolerance = manifest.golden_tolerance["probability"]
        assert query_golden_case(url, "srs-response", "7", Bundle.read(bundle).golden, tolerance) == ""
        print(f"  golden crop answered in {1000 * (time.monotonic() - started):.0f} ms")
