"""The packages stand in layers: a module imports from those below it, never from those above.

When this test fails on a new module, give it a place in the tables: above everything it imports,
below everything that imports it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "maxrf_core": (
        ("errors",),
        (
            "schema",
            "compiled",
            "parallel",
            "zip_headers",
            "check_report",
            "location",
            "decoding",
            "entry_limits",
        ),
        ("file_names", "plain_text"),
        ("camera_axes", "frame_header", "image_shift", "motor_track", "photo"),
        ("detection", "energy_axis", "lag_rows"),
        ("lag_curve",),
        ("lag",),
        ("progress",),
        ("counts", "grid", "sparse"),
        ("kernels",),
        ("smoothing",),
        ("kriging", "places", "thinning", "triangulation"),
        ("covariance",),
        ("interpolation",),
        ("combinations", "profiles"),
        ("failsafe_hdf5", "layout", "entries", "unfinished"),
        ("sidecar", "users"),
        ("remote", "partial", "chunk_files", "array_writer"),
        ("store", "writer"),
        ("hdf5",),
        ("crono_datasets",),
        ("scan_arrays",),
        ("contents", "faults", "foreign", "operator_arrays"),
        ("table",),
        ("combine",),
        ("camera", "crono_metadata"),
        ("camera_pairs", "crono"),
        ("camera_delay", "spectra"),
        ("blocks", "camera_geometry"),
        ("mosaic", "runners"),
        ("cluster",),
        ("lines", "periodic_table", "raster", "strokes"),
        ("components", "glyphs", "line_groups", "line_marks", "resolution", "snip"),
        ("background", "calibration", "elements", "peaks", "regions"),
        ("line_candidates", "line_patterns", "outline", "region_json"),
        ("explanation",),
        ("presets", "proposals"),
        ("patterns",),
        ("phantom",),
        ("simulation_parameters",),
        ("truth",),
        ("poisson", "simulated_camera"),
        ("crono_writer", "pipeline"),
        ("windows",),
        ("lazy", "stored", "region_spectra"),
        ("simulation", "conversion", "scan"),
        ("export_kinds", "export_file", "export_chunks", "export_cube"),
        ("export_colours", "lettering", "mosaic_file", "photo_file"),
        ("export_nexus", "export_hspy", "export_rpl", "export_datastack", "export_maps"),
        ("photo_record",),
        ("import_cube",),
        ("export_spectra", "export_tiff", "export_png", "import_rpl", "import_datastack"),
        ("exports", "imports"),
        ("check_layout", "check_arrays", "check_counts", "check_cubes", "salvage"),
        ("damaged", "recovered_counts", "sidecar_check"),
        ("repair_writer", "check"),
        ("repair",),
        ("mending",),
        ("cli_signals", "cli_export", "cli_mosaic", "cli_users"),
        ("interchange", "xarrays", "report", "demo", "cli_server"),
        ("arguments", "probe"),
        ("cli",),
        ("__init__", "__main__"),
    ),
    # From the bottom to the top; modules of one tuple do not import each other.
    "dashboard": (
        ("metrics", "routes", "settings", "text"),
        ("faults", "logs", "rights"),
        ("doors",),
        (
            "accessibility",
            "address_bar",
            "catalogue",
            "combine_colours",
            "dialogs",
            "downloads",
            "gallery_script",
            "layers",
        ),
        (
            "once",
            "pair_table",
            "pixels",
            "plots",
            "point_pairs",
            "scan_cards",
            "task",
            "theme",
            "tuning",
        ),
        ("region_panel_script", "region_text", "view_tools_script", "views_script"),
        ("cloud", "element_lines", "element_marks", "gallery_grid", "jobs", "latest", "notice"),
        ("gallery_work", "scaling"),
        ("conversion_card", "data", "state"),
        (
            "asked",
            "calibration_dialog",
            "element_picker",
            "export_task",
            "gallery_maps",
            "light",
            "light_pictures",
            "region_maps",
        ),
        ("region_choices", "region_counts"),
        ("export_choices", "region_drawing", "region_lines", "region_marks", "regions_dialog"),
        ("region_panel",),
        ("sigma_dialog", "thumbnails", "undo", "view", "workspaces", "zoom"),
        (
            "address",
            "catalogue_page",
            "combine_maps",
            "combine_mode",
            "export_dialog",
            "gallery",
            "zoomable",
        ),
        ("peaks_dialog", "periodic_table", "photo_plots", "saved_views", "spectrum", "underlay"),
        (
            "light_panel",
            "views_dialog",
        ),
        ("combine_choosers", "combine_plot", "energymap", "link_button", "view_tools", "positions"),
        (
            "combine_composite",
            "combine_line",
            "combine_ratio",
            "combine_selection",
            "photo_dialog",
        ),
        ("combine_profile", "combine_scatter"),
        ("combine",),
        ("explorer", "notebook"),
        ("spare",),
        ("login", "page"),
        ("server",),
        ("__init__", "main"),
    ),
}
"""Layers of each package from the bottom to the top."""

NOT_IN_THE_CORE = {"panel", "panel_material_ui", "holoviews", "bokeh", "datashader", "dashboard"}
"""The core serves the command line and other programs: no page, no plots."""


def modules_of(package: str) -> dict[str, Path]:
    """Return the modules of a package by name, such as ``scan`` or ``readers.rpl``."""
    folder = ROOT / package
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): path
        for path in sorted(folder.rglob("*.py"))
    }


def imports_of(path: Path, package: str) -> list[tuple[str, str | None]]:
    """Return what a module of a package imports anywhere in it: (module, name or None)."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = [package] if node.level else []
            base = ".".join([*inside, *([node.module] if node.module else [])])
            found += [(base, alias.name) for alias in node.names]
    return found


def inner_imports(path: Path, package: str) -> set[str]:
    """Return the modules of its own package that a module imports.

    A name that comes from the package itself, as in ``from maxrf_core import Scan``, comes
    through ``__init__``.
    """
    modules = modules_of(package)
    found = set()
    for base, name in imports_of(path, package):
        if base != package and not base.startswith(f"{package}."):
            continue
        inner = base.removeprefix(package).removeprefix(".")
        candidates = [f"{inner}.{name}".removeprefix("."), inner, "__init__"]
        found.add(next(candidate for candidate in candidates if candidate in modules))
    return found


def faults_of(package: str) -> list[str]:
    """Return a sentence for each module without a place and each import that leads upwards."""
    rank = {name: height for height, layer in enumerate(LAYERS[package]) for name in layer}
    sentences = []
    for name, path in modules_of(package).items():
        if name not in rank:
            sentences.append(f"{package}/{name}.py has no place in LAYERS of {Path(__file__).name}")
            continue
        sentences += [
            f"{package}/{name}.py imports {other}, which does not lie below it"
            for other in sorted(inner_imports(path, package))
            if other in rank and rank[other] >= rank[name]
        ]
    return sentences


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_has_a_place_and_imports_only_downwards(package):
    """A reader can start at the bottom; a change at the top breaks nothing below."""
    assert faults_of(package) == []


@pytest.mark.parametrize("package", LAYERS)
def test_the_tables_name_each_module_once_and_no_other(package):
    """What was renamed or removed leaves the table, too."""
    named = [name for layer in LAYERS[package] for name in layer]
    assert len(named) == len(set(named))
    assert set(named) <= set(modules_of(package))


def test_the_core_imports_no_page_and_no_plots():
    """`import maxrf_core` works where no browser library is installed, also in its functions."""
    for name, path in modules_of("maxrf_core").items():
        top = {base.split(".")[0] for base, _ in imports_of(path, "maxrf_core")}
        assert not top & NOT_IN_THE_CORE, f"maxrf_core/{name}.py"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("from .crono import Roi", {"crono"}),
        ("from . import schema", {"schema"}),
        ("from maxrf_core import schema, Scan", {"schema", "__init__"}),
        ("import maxrf_core.store", {"store"}),
        ("import maxrf_core", {"__init__"}),
        ("def f():\n    from maxrf_core.store import StoreReader", {"store"}),
        ("import numpy\nfrom maxrf_corelike import store", set()),
    ],
)
def test_an_import_is_recognised_however_it_is_written(tmp_path, statement, expected):
    """A test of the imports that overlooks some would pass for the wrong reason."""
    path = tmp_path / "module.py"
    path.write_text(statement)
    assert inner_imports(path, "maxrf_core") == expected
