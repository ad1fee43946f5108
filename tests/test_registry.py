"""Registries, and the modules of users that fill them."""

import pickle
import subprocess
import sys
import threading
from abc import ABC, abstractmethod

import pytest

from equipoise._core import imports, registry
from equipoise._core.imports import UserModuleError, find, load, source_of, write_copies
from equipoise._core.options import check_required, option_types
from equipoise._core.registry import Registry, UnknownNameError, register

PACKAGE = {
    "__init__.py": "",
    "base.py": "from abc import ABC, abstractmethod\nclass Shape(ABC):\n    @abstractmethod\n    def area(self): ...\n",
    "kinds/__init__.py": "",
    "kinds/square.py": "from {name}.base import Shape\nfrom equipoise import register\n"
    "@register\nclass Square(Shape):\n    def area(self):\n        return 1\n",
    "kinds/disc.py": "from {name}.base import Shape\nfrom equipoise import register\n"
    "@register('a_disc')\nclass Disc(Shape):\n    def area(self):\n        return 3\n",
}
MINE = "from {name}.base import Shape\nfrom equipoise import register\n@register\nclass MyShape(Shape):\n"


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A registry of shapes, defined by a package of the test's own; all is forgotten afterwards."""
    name = f"shapes_{abs(hash(str(tmp_path)))}"
    for file, text in PACKAGE.items():
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{name}", name))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(imports, "_checksums", {})
    monkeypatch.setattr(imports, "_current", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registries", list(registry._registries))
    hooks = list(imports.after_failure)
    monkeypatch.setattr(registry, "after_failure", hooks)
    monkeypatch.setattr(imports, "after_failure", hooks)
    base = __import__(f"{name}.base", fromlist=["Shape"]).Shape
    found = Registry("shape", base, package=f"{name}.kinds", group=f"{name}.shapes")
    yield found
    for module in [module for module in sys.modules if module.startswith((name, "mine_"))]:
        del sys.modules[module]


def own(shapes, body: str) -> str:
    return MINE.replace("{name}", shapes.base.__module__.split(".")[0]) + body


def test_a_registry_is_a_sorted_mapping_that_imports_nothing_before_it_is_asked(shapes):
    package = f"{shapes.base.__module__.removesuffix('base')}kinds"
    assert f"{package}.square" not in sys.modules
    assert list(shapes) == ["a_disc", "square"]
    assert len(shapes) == 2
    assert shapes["square"]().area() == 1
    assert "square" in shapes
    assert "circle" not in shapes
    assert shapes.get("circle") is None
    assert dict(shapes) == {"a_disc": shapes["a_disc"], "square": shapes["square"]}
    with pytest.raises(
        UnknownNameError, match=r"^`shape` should be one of a_disc, square\..* Did you mean `square`\?$"
    ):
        shapes["squar"]
    assert issubclass(UnknownNameError, ValueError)


def test_a_class_need_not_be_registered(shapes):
    name = f"{shapes.base.__module__.removesuffix('base')}kinds.disc:Disc"
    assert shapes[name]().area() == 3
    assert name in shapes
    assert shapes.get(name) is shapes[name]
    assert name not in list(shapes)
    base = shapes.base.__module__
    with pytest.raises(ValueError, match="should define `area`, which its base leaves open"):
        shapes[f"{base}:Shape"]
    for wrong in (f"{base}:Nothing", f"{base}:abstractmethod", f"{base}:ABC"):
        assert wrong not in shapes
        with pytest.raises(ValueError, match=r"`module:Class` with a class under `shapes_\d+\.base\.Shape`"):
            shapes[wrong]
    assert "no_such_module:Shape" not in shapes
    with pytest.raises(UserModuleError, match="no module `no_such_module`"):
        shapes["no_such_module:Shape"]


def test_what_cannot_be_registered(shapes):
    class Open(shapes.base): ...

    with pytest.raises(ValueError, match="shape `Open` should define `area`"):
        register(Open)

    class Whole(shapes.base):
        def area(self):
            return 2

    # Ours come first, though nobody has looked at the registry yet.
    with pytest.raises(ValueError, match=r"The shape name `square` is taken by `shapes_\d+\.kinds\.square:Square`"):
        register("square")(Whole)
    for name in ("a:b", "a/b", "..", " ", "-a"):
        with pytest.raises(ValueError, match="should consist of letters"):
            register(name)(Whole)
    with pytest.raises(TypeError, match="`register` should decorate a class under one of the bases"):
        register(int)
    with pytest.raises(TypeError, match="`register` should decorate a class"):
        register(7)  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert register(Whole) is Whole
    assert shapes["whole"] is Whole


def test_a_class_that_declares_its_name_has_no_other():
    class Base(ABC):
        name: str

        @abstractmethod
        def act(self): ...

    class Good(Base):
        name = "good"

        def act(self): ...

    found = Registry("actor", Base, package="json", group="none", name_of=lambda actor: actor.name)
    found.add(Good)
    with pytest.raises(ValueError, match=r"under the name that it declares, `good`\. Found `better`"):
        found.add(Good, "better")
    assert list(found) == ["good"]
    registry._registries.remove(found)


def test_a_module_of_ours_that_raises_leaves_the_registry_to_be_loaded_again(shapes, tmp_path):
    broken = tmp_path / shapes.base.__module__.split(".")[0] / "kinds" / "zebra.py"
    broken.write_text("1 / 0\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            list(shapes)
    broken.unlink()
    assert list(shapes) == ["a_disc", "square"]


def test_threads_that_look_together_all_see_everything(shapes, tmp_path):
    slow = tmp_path / shapes.base.__module__.split(".")[0] / "kinds" / "zebra.py"
    slow.write_text(own(shapes, "    area = 1\n").replace("@register", "import time; time.sleep(0.2)\n@register"))
    seen: list[list[str]] = []
    threads = [threading.Thread(target=lambda: seen.append(list(shapes))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["a_disc", "my_shape", "square"]] * 4


def test_a_changed_file_replaces_what_it_registered_and_so_does_its_former_version(shapes, tmp_path):
    path = tmp_path / "mine_x.py"
    path.write_text(own(shapes, "    def area(self): return 7\n"))
    first = find("mine_x.py")
    former = shapes["my_shape"]
    assert load(first) is load(first)
    assert shapes["my_shape"] is former
    path.write_text(own(shapes, "    def area(self): return 8\n"))
    second = find(str(path))
    assert shapes["my_shape"]().area() == 8
    assert first.loaded_name != second.loaded_name
    # What a run was made with is loaded again, whatever the file holds.
    load(first)
    assert shapes["my_shape"]().area() == 7
    # A class of the same file is named by the file's name, too.
    assert shapes["mine_x:MyShape"] is shapes["my_shape"]
    # Another file may not take the name.
    (tmp_path / "mine_y.py").write_text(path.read_text())
    with pytest.raises(UserModuleError, match=r"mine_y\.py`, line 3.* `my_shape` is taken by `mine_x:MyShape`"):
        find("mine_y.py")


def test_a_file_that_fails_registers_nothing_and_may_be_mended(shapes, tmp_path):
    path = tmp_path / "mine_x.py"
    path.write_text(own(shapes, "    def area(self): return 7\n") + "\nraise RuntimeError('two\\nlines')\n")
    with pytest.raises(
        UserModuleError, match=r"mine_x\.py`, line 7, cannot be imported: RuntimeError: two lines$"
    ) as caught:
        find("mine_x.py")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "my_shape" not in shapes
    path.write_text(own(shapes, "    def area(self): return 7\n"))
    find("mine_x.py")
    assert shapes["my_shape"]().area() == 7


THEIRS = """
import torch
from equipoise.data import Dataset
from equipoise.tasks.depth import Depth


class Theirs(Depth):
    kind = "theirs"


class Ones(Dataset):
    name, splits, source, decodes = "ones", ("train",), "nowhere", False

    @classmethod
    def all_tasks(cls, root=None, options=None):
        return (Theirs(name="depth"),)

    def identify(self):
        return ["a", "b"]

    def file(self, identifier, key):
        return self.root / identifier

    def read(self, identifier, key):
        return torch.ones(3, 4, 4, dtype=torch.uint8) if key == "image" else torch.ones(1, 4, 4)
"""


@pytest.mark.parametrize("of", ["module", "dataset"])
def test_a_file_goes_to_another_process_with_its_text(tmp_path, monkeypatch, of):
    """Workers get a configuration or, where they load data, a dataset alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_z.py").write_text(THEIRS)
    module = find("mine_z.py")
    dataset = load(module).Ones(tmp_path)
    (tmp_path / "mine_z.py").unlink()
    (tmp_path / "pickled").write_bytes(pickle.dumps((module, dataset) if of == "module" else (dataset,)))
    code = "import pickle; *_, data = pickle.load(open('pickled', 'rb')); print(len(data), *data[1]['depth'].shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "1", "4", "4"], done.stderr


def test_a_module_by_name_keeps_a_checksum_of_its_package(shapes, tmp_path):
    # The fixture puts the folder on the path of modules.
    package = tmp_path / "mine_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "layers.py").write_text("WIDTH = 1\n")
    (package / "network.py").write_text("from mine_package.layers import WIDTH\n")
    module = find("mine_package.network")
    assert (module.name, module.origin, module.source) == ("mine_package.network", str(tmp_path), None)
    assert source_of([module]) == {"mine_package.network": f"sha256:{module.checksum}"}
    write_copies([module], tmp_path / "copies")
    copied = {path.relative_to(tmp_path / "copies").as_posix() for path in (tmp_path / "copies").rglob("*.py")}
    assert copied == {f"mine_package/{name}.py" for name in ("__init__", "layers", "network")}
    # An edit anywhere in the package counts, and the package is imported anew.
    (package / "layers.py").write_text("WIDTH = 1 + 1\n")
    changed = find("mine_package.network")
    assert changed.checksum != module.checksum
    assert load(changed).WIDTH == 2
    with pytest.warns(UserWarning, match="has changed since this recipe or run was written"):
        load(module)


def test_copies_and_sources_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_z.py").write_text("# nothing\n")
    (tmp_path / "mine_empty.py").write_text("")
    modules = [find("mine_z.py"), find("mine_empty.py"), find("json.decoder")]
    (tmp_path / "mine_z.py").write_text("# changed\n")
    assert source_of(modules) == {
        "mine_z": "# nothing\n", "mine_empty": "", "json.decoder": f"sha256:{modules[2].checksum}"
    }  # fmt: skip
    write_copies(modules[:2], tmp_path / "copies")
    assert (tmp_path / "copies" / "mine_z.py").read_text() == "# nothing\n"
    write_copies([], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(UserModuleError, match="built in"):
        find("sys")


def test_options_of_a_class_reach_its_bases_and_survive_annotations_for_checkers_alone():
    class Base:
        def __init__(self, first, *, kept: int, given: float = 1.0): ...

    class Derived(Base):
        def __init__(self, first, *, given: str = "", odd: "NoSuchName" = 1, **options):  # noqa: F821  # pyright: ignore
            super().__init__(first, given=2.0, **options)

    class Simple(Base):
        def __init__(self, first, *, given: str = "", **options): ...

    assert option_types(Base) == {"kept": int, "given": float}
    assert option_types(Simple) == {"given": str, "kept": int}
    assert set(option_types(Derived)) == {"given", "odd", "kept"}
    check_required("Derived", Derived, ["kept"])
    with pytest.raises(ValueError, match="Derived should be given the option `kept`"):
        check_required("Derived", Derived, ["given"])
