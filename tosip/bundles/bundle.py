"""One bundle: how it is written, whole or not at all, and how it is read, trusting nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from tosip.bundles import pixels, values
from tosip.errors import ProtocolError, TosipError
from tosip.pipeline.failure import Failure, FailureKind, Likeness, likeness
from tosip.pipeline.ndarray import AttributeValue, NDArray
from tosip.pipeline.pool import Pool
from tosip.pipeline.protocol import LONGEST, check_layout

NAME = "tosip bundle"
VERSION = 1
FRAME, CODE, ABOUT = "frame.fits", "code", "bundle.json"
LONGEST_SOURCE = 16 * 1024**2  # of all modules, in characters
LONGEST_ABOUT = 2 * LONGEST  # arrays take four thirds of their bytes here
LARGEST_FRAME = 1 << 40  # bytes; the file must be as long as its claim

_MODULE = re.compile(r"[^\W\d]\w{0,99}(\.[^\W\d]\w{0,99}){0,9}")
_TEXT, _OPTIONAL_TEXT, _NUMBER = (str,), (str, type(None)), (int, float)
_SECTIONS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "format": {"name": _TEXT, "version": (int,)},
    "failure": {
        "kind": _TEXT,
        "stage": _TEXT,
        "error": _TEXT,
        "traceback": _TEXT,
        "printed": (list,),
        "time": _TEXT,
    },
    "plugin": {"port": _TEXT, "source": _TEXT, "timeout": _NUMBER},
    "code": {
        "file": _TEXT,
        "class": _OPTIONAL_TEXT,
        "module": _TEXT,
        "hash": _TEXT,
        "modules": (dict,),
        "interpreter": _TEXT,
        "python": _TEXT,
        "numpy": _TEXT,
    },
    "frame": {
        "unique_id": (int,),
        "timestamp": _NUMBER,
        "shape": (list,),
        "dtype": _TEXT,
        "color_mode": _TEXT,
        "sha256": _TEXT,
    },
}
_MODULE_FIELDS = {"file": _TEXT, "package": (bool,), "sha256": _TEXT}
_FREE = ("attributes", "params")


class BundleError(TosipError, ValueError):
    """A bundle cannot be kept or read."""


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds beside the pixels and the code."""

    folder: Path
    kind: FailureKind
    stage: str
    error: str
    traceback: str
    printed: tuple[str, ...]
    time: str
    port: str
    source: str
    timeout: float
    file: Path
    class_name: str | None
    module: str
    code_hash: str
    modules: Mapping[str, Mapping[str, Any]]
    interpreter: Path
    python: str
    numpy: str
    unique_id: int
    timestamp: float
    shape: tuple[int, ...]
    dtype: str
    color_mode: str
    sha256: str
    attributes: Mapping[str, AttributeValue]
    params: Mapping[str, Any]

    @property
    def likeness(self) -> Likeness:
        """What it has in common with other failures of the same fault."""
        return likeness(self.code_hash, self.kind, self.stage, self.error)

    @property
    def size(self) -> int:
        """Bytes of the frame's file."""
        return pixels.file_size(self.shape, self.dtype)

    def read_frame(self, pool: Pool) -> NDArray:
        """Read the frame into a buffer of the pool; BundleError if it is damaged."""
        with _open(self.folder / FRAME) as file:
            if os.fstat(file.fileno()).st_size != self.size:
                raise BundleError(f"{self.folder / FRAME}: expected {self.size} bytes, got others")
            lease = pool.allocate(self.size)  # a little more than the pixels
            try:
                digest = pixels.read_into(file, lease.view(self.shape, self.dtype))
            except (OSError, ValueError) as error:
                raise BundleError(f"{self.folder / FRAME}: {error}") from None
        if digest != self.sha256:
            raise BundleError(f"{self.folder / FRAME}: expected the pixels as kept, got others")
        return NDArray(
            self.unique_id,
            self.timestamp,
            self.shape,
            self.dtype,
            lease,
            self.attributes,
            self.color_mode,
        )

    def read_code(self) -> dict[str, Any]:
        """Read the code as it was, as a worker takes it; BundleError if it is damaged."""
        code = {}
        for name, module in self.modules.items():
            path = self.folder / CODE / f"{name}.py"
            with _open(path) as file:
                data = file.read(4 * LONGEST_SOURCE)
            if hashlib.sha256(data).hexdigest() != module["sha256"]:
                raise BundleError(f"{path}: expected the code as kept, got other")
            text = data.decode(errors="surrogatepass")
            code[name] = {"file": module["file"], "package": module["package"], "text": text}
        return code


def is_bundle(path: Path) -> bool:
    """Whether a path on the command line means a bundle: a folder, or the file that tells of it."""
    return path.name == ABOUT or os.path.isdir(path)  # which takes names of any length


def size_of(failure: Failure) -> int:
    """Return how many bytes the bundle of a failure takes; ValueError if it cannot be kept."""
    size = pixels.file_size(failure.array.shape, failure.array.dtype)
    return size + len(_about(failure, "")) + sum(map(len, _code(failure).values()))


def write(folder: Path, failure: Failure) -> None:
    """Write a bundle's files into a new folder and sync them.

    OSError if that fails, ValueError if the failure cannot be kept.
    """
    (folder / CODE).mkdir(parents=True)
    with open(folder / FRAME, "xb") as file:
        digest = pixels.write(file, failure.array.pixels)
        _sync(file)
    for name, data in _code(failure).items():
        _write(folder / CODE / f"{name}.py", data)
    _write(folder / ABOUT, _about(failure, digest))
    sync_folder(folder / CODE)
    sync_folder(folder)


def _code(failure: Failure) -> dict[str, bytes]:
    """Return the code's files by module; a worker tells what they hold, and may tell anything."""
    code = failure.circumstances.code
    for name, module in code.items():
        if not _MODULE.fullmatch(name) or not isinstance(module, dict):
            raise ValueError(f"code: expected modules by name, got {name[:40]!r}")
        for key, type_ in (("file", str), ("package", bool), ("text", str)):
            if not isinstance(module.get(key), type_):
                raise ValueError(f"code: expected a module's {key}, got none of {name[:40]!r}")
    if sum(len(module["text"]) for module in code.values()) > LONGEST_SOURCE:
        raise ValueError(f"code: expected at most {LONGEST_SOURCE} characters, got more")
    return {name: code[name]["text"].encode(errors="surrogatepass") for name in code}


def _modules(failure: Failure) -> dict[str, Any]:
    return {
        name: {
            "file": failure.circumstances.code[name]["file"],
            "package": failure.circumstances.code[name]["package"],
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in _code(failure).items()
    }


def _about(failure: Failure, sha256: str) -> bytes:
    array, program, there = failure.array, failure.program, failure.circumstances
    plain = {
        "format": {"name": NAME, "version": VERSION},
        "failure": {
            "kind": failure.kind.value,
            "stage": failure.stage,
            "error": failure.error,
            "traceback": failure.traceback,
            "printed": list(there.printed),
            "time": datetime.now(UTC).isoformat(),
        },
        "plugin": {"port": program.name, "source": there.port, "timeout": there.timeout},
        "code": {
            "file": str(program.file.absolute()),
            "class": program.class_name,
            "module": program.module,
            "hash": there.code_hash,
            "modules": _modules(failure),
            "interpreter": str(program.interpreter.absolute()),
            "python": there.python,
            "numpy": there.numpy,
        },
        "frame": {
            "unique_id": array.unique_id,
            "timestamp": array.timestamp,
            "shape": list(array.shape),
            "dtype": array.dtype,
            "color_mode": array.color_mode,
            "sha256": sha256,
        },
        "attributes": values.to_json(array.attributes),
        "params": values.to_json(there.params),
    }
    return json.dumps(plain, indent=2).encode()


def read(path: Path) -> Bundle:
    """Read a bundle, named by its folder or its `bundle.json`; BundleError says what is wrong."""
    file = path if path.name == ABOUT else path / ABOUT
    try:
        return _bundle(file.parent, _sections(_json(file)))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{file}: {error or type(error).__name__}"[:500]) from None


def _json(file: Path) -> Any:
    with _open(file) as stream:
        data = stream.read(LONGEST_ABOUT + 1)
    if len(data) > LONGEST_ABOUT:
        raise ValueError(f"expected at most {LONGEST_ABOUT} bytes, got more")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("expected JSON, got something else") from None


def _sections(plain: Any) -> dict[str, Any]:
    if not isinstance(plain, dict) or not isinstance(plain.get("format"), dict):
        raise ValueError("expected a TOSIP bundle, got something else")
    form = plain["format"]
    if form.get("name") != NAME:
        raise ValueError(f"expected format.name {NAME!r}, got {form.get('name')!r}")
    if form.get("version") != VERSION:
        raise ValueError(f"expected format.version {VERSION}, got {form.get('version')!r}")
    if isinstance(plain.get("code"), dict):
        plain["code"].setdefault("module", "")  # older bundles have none
    if plain.keys() != {*_SECTIONS, *_FREE}:
        raise ValueError(f"expected {', '.join([*_SECTIONS, *_FREE])}, got {sorted(plain)}")
    for section, fields in _SECTIONS.items():
        _check(section, plain[section], fields)
    for section in _FREE:
        if not isinstance(plain[section], dict):
            raise ValueError(f"{section}: expected values by name, got another type")
    return plain


def _check(section: str, given: Any, fields: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(given, dict) or given.keys() != fields.keys():
        raise ValueError(f"{section}: expected {', '.join(fields)}, got others")
    for name, types in fields.items():
        if type(given[name]) not in types:
            wanted = " or ".join(kind.__name__ for kind in types)
            got = type(given[name]).__name__
            raise ValueError(f"{section}.{name}: expected {wanted}, got {got}")


def _bundle(folder: Path, plain: Mapping[str, Any]) -> Bundle:
    failure, plugin, code, frame = (plain[name] for name in ("failure", "plugin", "code", "frame"))
    if not all(isinstance(line, str) for line in failure["printed"]):
        raise ValueError("failure.printed: expected lines of text, got others")
    for name, module in code["modules"].items():
        if not _MODULE.fullmatch(name):
            raise ValueError(f"code.modules: expected names of modules, got {name[:40]!r}")
        _check(f"code.modules.{name}", module, _MODULE_FIELDS)
    try:
        check_layout(frame["shape"], frame["dtype"], LARGEST_FRAME)
    except ProtocolError as error:
        raise ValueError(f"frame: {error}") from None
    if not 0 < plugin["timeout"] < math.inf:
        raise ValueError(f"plugin.timeout: expected a time, got {plugin['timeout']}")
    if not math.isfinite(frame["timestamp"]) or not abs(frame["unique_id"]) < 2**63:
        raise ValueError("frame: expected a time stamp and an id of 64 bits, got others")
    return Bundle(
        folder=folder,
        kind=FailureKind(failure["kind"]),
        stage=failure["stage"],
        error=failure["error"],
        traceback=failure["traceback"],
        printed=tuple(failure["printed"]),
        time=failure["time"],
        port=plugin["port"],
        source=plugin["source"],
        timeout=plugin["timeout"],
        file=_outside(folder, "code.file", code["file"], ".py"),
        class_name=code["class"],
        module=code["module"],
        code_hash=code["hash"],
        modules=code["modules"],
        interpreter=_outside(folder, "code.interpreter", code["interpreter"]),
        python=code["python"],
        numpy=code["numpy"],
        unique_id=frame["unique_id"],
        timestamp=float(frame["timestamp"]),
        shape=tuple(frame["shape"]),
        dtype=frame["dtype"],
        color_mode=frame["color_mode"],
        sha256=frame["sha256"],
        attributes=values.from_json(plain["attributes"]),
        params=values.from_json(plain["params"]),
    )


def _outside(folder: Path, name: str, text: str, ending: str = "") -> Path:
    """Check a path of the site that replay would run: never something out of the bundle."""
    path = Path(text)
    if not (path.is_absolute() and text.isprintable() and text.endswith(ending)):
        wanted = f"the whole path of a file{ending and f' ending in {ending}'}"
        raise ValueError(f"{name}: expected {wanted}, got {text[:100]!r}")
    if path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name}: expected a path outside the bundle, got {text[:100]!r}")
    return path


def _open(path: Path) -> BinaryIO:
    """Open a regular file of a bundle, and not what a link or a pipe under its name leads to."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        file = os.fdopen(descriptor, "rb")
    except OSError as error:
        raise BundleError(f"{path}: expected a bundle's file, got {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BundleError(f"{path}: expected a bundle's file, got another kind")
    return file


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
