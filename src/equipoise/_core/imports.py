"""Modules of the user's own, which a recipe lists under `import`.

    import: [my_method.py, my_package.networks]

They are imported before the rest of the recipe is read, so the recipe can name what they register
(see `equipoise.register`). Everything that reads the recipe or one of its runs later imports them again: worker
processes, Ray tasks, Slurm jobs, `equipoise diagnose`, `equipoise report`, and code that loads a trained model.

A **file** (`my_method.py`) is executed from its text, and the recipe keeps that text. A run therefore needs neither the
file nor its place afterwards, and an edit changes no finished run. A file should not import its neighbours, whose text
would not be kept: put several files into a package, and list a package that a file uses.

A **module** (`my_package.networks`) is imported by its name, from the installed packages or from the working directory.
The recipe keeps the folder that holds the package and a checksum of all its `.py` files. The package must still be
there when a run is read; a warning says if it has changed.

Whoever reads a recipe, a run or a study executes the code that it imports: read only those that you trust.
"""

import hashlib
import importlib
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.abc import ExecutionLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from equipoise._core.files import write_text

_lock = threading.RLock()
_current: dict[str, str] = {}
"""The name in `sys.modules` of the version of each file that was loaded last, by the name of the file."""
_checksums: dict[str, str] = {}
"""The checksum with which each package was imported, by its name."""

after_failure: list[Callable[[], None]] = []
"""Called when a module has failed and is no longer in `sys.modules`, to forget what it has registered until then."""


class UserModuleError(ImportError):
    """A module that a recipe imports is not there, or raises an error while it is imported."""


@dataclass(frozen=True)
class UserModule:
    """A module that a recipe imports; see `find` and `load`.

    Unpickling one loads it, so a worker process knows everything that it registers.

    Attributes:
        name: The dotted name of the module; for a file, its name without `.py`.
        origin: The absolute path of the file; for a module by name, of the folder that holds its package.
        source: The text of the file; none for a module by name.
        checksum: SHA-256 of the `.py` files of the package; none for a file.
    """

    name: str
    origin: str
    source: str | None = None
    checksum: str | None = None

    @property
    def loaded_name(self) -> str:
        """The name in `sys.modules`: for a file it ends in a checksum of the text, the same in every process."""
        if self.source is None:
            return self.name
        return f"{self.name}_{hashlib.sha256(self.source.encode()).hexdigest()[:12]}"

    @property
    def entry(self) -> str:
        """The entry of the key `import` that names it."""
        return self.name if self.source is None else self.origin

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.name, self.origin, self.source, self.checksum)


def find(entry: str, folder: Path | None = None) -> UserModule:
    """Find a module and import it.

    Args:
        entry: A Python file, or the dotted name of a module.
        folder: The folder that a relative path starts from; by default the working directory.

    Raises:
        UserModuleError: There is no such file or module, or it raises an error while it is imported.
    """
    if entry.endswith(".py"):
        path = ((folder or Path.cwd()) / Path(entry).expanduser()).resolve()
        try:
            module = UserModule(path.stem, str(path), path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserModuleError(
                f"`import` should list Python files that can be read. Found `{path}`: {why}."
            ) from error
        load(module)
        return module
    if not all(part.isidentifier() for part in entry.split(".")):
        raise UserModuleError(
            "`import` should list Python files, which end in `.py`, and names of modules, such as `my_package.module`. "
            f"Found `{entry}`."
        )
    with _lock:
        top = entry.partition(".")[0]
        if top in _checksums and _checksum(top) != _checksums[top]:
            # The package was edited since this process imported it, as in a notebook.
            for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
                del sys.modules[name]
            del _checksums[top]
        import_module(entry)
        return UserModule(entry, str(_files(top)[0]), checksum=_checksums.setdefault(top, _checksum(top)))


def load(module: UserModule) -> ModuleType:
    """Import a module that was found before, here or in another process.

    A file is executed once per process. A changed version of the same file is executed anew, and what it registers
    replaces what the former version has registered. Files that are loaded later can import it by its name, unless an
    installed module has that name.

    Raises:
        UserModuleError: A module by name is not there any more, or the module raises an error while it is imported.
    """
    with _lock:
        if module.source is None:
            return _load_by_name(module)
        name = module.loaded_name
        if _current.get(module.name) == name:
            return sys.modules[name]
        spec = spec_from_loader(name, _Text(module.origin, module.source))
        assert spec is not None
        loaded = module_from_spec(spec)
        # Before the execution: classes are registered, and pickled, under these names.
        sys.modules[name], _current[module.name] = loaded, name
        try:
            _Text(module.origin, module.source).exec_module(loaded)
        except (Exception, SystemExit) as error:
            del sys.modules[name], _current[module.name]
            raise _failure(error, module.origin) from error
        if _is_free(module):
            sys.modules[module.name] = loaded
        return loaded


def import_module(name: str) -> ModuleType:
    """Import a module by its name.

    It is a file that a recipe has loaded, an installed module, or a module in the working directory.

    Raises:
        UserModuleError: There is no such module, or it raises an error while it is imported.
    """
    if name in _current:
        return sys.modules[_current[name]]
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise UserModuleError(
                f"There is no module `{name}` among the installed packages or in the working directory {here!r}."
            ) from error
        raise _failure(error, name) from error


def source_of(modules: Iterable[UserModule]) -> dict[str, str]:
    """Return what identifies the code of some modules, by their names.

    For a file it is the text, for a module by name the checksum of its package. Both are those of the moment when the
    recipe was read, whatever the files hold today, so that the key of a run made of them stays the same.
    """
    return {module.name: f"sha256:{module.checksum}" if module.source is None else module.source for module in modules}


def write_copies(modules: Iterable[UserModule], directory: Path) -> None:
    """Write the code of some modules into a directory, for people to read.

    Args:
        modules: The modules. A module by name is copied with its whole package; an installed package is left out.
        directory: It is made if it is missing. Nothing is written without modules.
    """
    for module in modules:
        if module.source is not None:
            _write(directory / f"{module.name}.py", module.source)
        elif module.origin not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            root = Path(module.origin)
            for path in _python_files(root, module.name.partition(".")[0]):
                _write(directory / path.relative_to(root), path.read_text(encoding="utf-8"))


def module_of(found: type[Any]) -> UserModule | None:
    """Return the user's file that a class is from, if it is from one."""
    loader = getattr(sys.modules.get(found.__module__), "__loader__", None)
    return UserModule(Path(loader.path).stem, loader.path, loader.text) if isinstance(loader, _Text) else None


def public_name(module: str) -> str:
    """Return the name of a module in `sys.modules`, for a user's file without the checksum that `load` adds."""
    loader = getattr(sys.modules.get(module), "__loader__", None)
    return Path(loader.path).stem if isinstance(loader, _Text) else module


def reduce_with_module(reduced: str | tuple[Any, ...], found: type[Any]) -> str | tuple[Any, ...]:
    """Return what `__reduce_ex__` should return, so that unpickling an object first loads the file of its class.

    Args:
        reduced: The return value of `object.__reduce_ex__`.
        found: The class of the object.
    """
    module = module_of(found)
    if module is None or isinstance(reduced, str):
        return reduced
    make, arguments, *rest = reduced
    return (_make_after, (module, make, arguments), *rest)


class _Text(ExecutionLoader):
    """Executes a text as the module that a file holds."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_source(self, fullname: str) -> str:
        return self.text


def _is_free(module: UserModule) -> bool:
    """Whether no other module has the name of a user's file."""
    present = sys.modules.get(module.name)
    if present is not None:
        return isinstance(getattr(present, "__loader__", None), _Text)
    found = find_spec(module.name) if module.name.isidentifier() else None
    return found is None or (found.origin is not None and Path(found.origin).resolve() == Path(module.origin).resolve())


def _restore(name: str, origin: str, source: str | None, checksum: str | None) -> UserModule:
    module = UserModule(name, origin, source, checksum)
    load(module)
    return module


def _make_after(module: UserModule, make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    # Unpickling `module` has loaded it before Python looks for the class among the arguments.
    return make(*arguments)


def _load_by_name(module: UserModule) -> ModuleType:
    top = module.name.partition(".")[0]
    if top not in sys.modules and module.origin not in sys.path and Path(module.origin).is_dir():
        # Another process may have another working directory.
        sys.path.append(module.origin)
    loaded = import_module(module.name)
    if module.checksum != _checksums.setdefault(top, _checksum(top)):
        warnings.warn(
            f"The package `{top}` in {module.origin} has changed since this recipe or run was written.", stacklevel=3
        )
    return loaded


def _files(top: str) -> tuple[Path, list[Path]]:
    """Return the folder that holds an imported package or module, and its Python files."""
    module = sys.modules[top]
    place = next(iter(getattr(module, "__path__", ())), None) or getattr(module, "__file__", None)
    if place is None:
        raise UserModuleError(f"`import` should list modules that have a file. Found `{top}`, which is built in.")
    root = Path(place).resolve().parent
    return root, _python_files(root, top)


def _python_files(root: Path, top: str) -> list[Path]:
    single = root / f"{top}.py"
    return [single] if single.is_file() else sorted((root / top).rglob("*.py"))


def _checksum(top: str) -> str:
    root, files = _files(top)
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _failure(error: BaseException, place: str) -> UserModuleError:
    """Return an error that says on one line where a user's module fails, and why."""
    for forget in after_failure:
        forget()
    line = None
    if isinstance(error, SyntaxError) and error.filename is not None:
        place, line = error.filename, error.lineno
    elif frames := [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]:
        # The first frame is the module itself, the last may be deep inside of a library that it calls.
        folder = Path(frames[0].filename).parent
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
        place, line = own[-1].filename, own[-1].lineno
    where = f"`{place}`" if line is None else f"`{place}`, line {line},"
    return UserModuleError(f"{where} cannot be imported: {type(error).__name__}: {' '.join(str(error).split())}")


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or filename.startswith(("<frozen", str(Path(importlib.__file__).parent)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
