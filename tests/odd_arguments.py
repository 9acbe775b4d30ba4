"""What people, by chance or not, give to commands that look at pictures."""

import io
import os
import string
from pathlib import Path

import numpy as np
import PIL.Image
from command_line import outcome
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

VALUES = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _encoded(form: str) -> bytes:
    PIL.Image.fromarray(VALUES).save(file := io.BytesIO(), form)
    return file.getvalue()


GOOD = [_encoded(form) for form in ("PNG", "GIF", "TIFF", "BMP", "JPEG", "WEBP")]
contents = st.one_of(
    st.sampled_from(GOOD),
    st.tuples(st.sampled_from(GOOD), st.integers(0, 300)).map(lambda cut: cut[0][: cut[1]]),
    st.binary(max_size=40),
)
names = st.binary(min_size=1, max_size=40).filter(
    lambda name: not set(name) & set(b"\0/") and name not in (b".", b"..")
)
texts = st.one_of(
    st.binary(max_size=12).filter(lambda text: b"\0" not in text).map(os.fsdecode),
    st.text(string.printable, max_size=12),
    st.sampled_from(["-1", "0", "40", "9" * 400, "1e9", "nan", "own", "*", "../..", "-h", ""]),
)
# Files of a test are written anew for each example.
anew = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def written(folder: Path, files: dict[bytes, bytes]) -> list[str]:
    """Pictures under odd names, as a shell gives them to a command."""
    paths = []
    for name, content in files.items():
        path = os.path.join(os.fsencode(folder), name)
        with open(path, "wb") as file:
            file.write(content)
        paths.append(os.fsdecode(path))
    return paths


def assert_a_result_or_a_line(*arguments: str) -> int:
    """A traceback would be an exception here; returns how many results are printed."""
    code, out, err = outcome(*arguments)
    assert code in (0, 1, 2), err
    assert (code == 0) or err, "what is wrong is said"
    if code == 1:
        assert all(len(line) > 10 for line in err.splitlines())
    return out.count("-digits.json)") + out.count("-cam.json)")
