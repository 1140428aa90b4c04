"""The mappings that there are: those that whoever publishes names, and those that Biokeel brings along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from biokeel.contracts.schema import load_schemas
from biokeel.errors import AdapterError
from biokeel.settings import Settings
from biokeel.source.mappings.load import Schemas, load_mapping
from biokeel.source.mappings.model import Mapping
from biokeel.source.mappings.run import Table, first_lines
from biokeel.source.mappings.table import find_header

SHIPPED: Final = Path(__file__).parent
FAMILIES: Final = (
    "Synthea CSV",
    "OMOP CDM 5.4 CSV",
    "LibreView CSV",
    "Dexcom Clarity CSV",
    "Samsung Health CSV",
    "food log",
)
"""The families of shipped mappings, for people."""


@dataclass(frozen=True)
class Library:
    """Mappings that a file may be read by; `given` by whoever publishes come first."""

    schemas: Schemas
    given: tuple[Mapping, ...] = ()

    @classmethod
    def load(cls, schemas: Schemas, paths: Sequence[Path] = ()) -> Library:
        """With the mapping files at `paths`. Raises `AdapterError` naming every fault."""
        return cls(schemas, tuple(load_mapping(path, schemas) for path in paths))

    @cached_property
    def shipped(self) -> dict[Path, Mapping]:
        """Those that Biokeel brings along, by their files."""
        return {path: load_mapping(path, self.schemas) for path in sorted(SHIPPED.glob("*.yaml"))}

    def given_for(self, path: Path) -> Table | None:
        """The given mapping whose columns the file has; of several the one that knows most of them."""
        return self._best(path, self.given)

    def shipped_for(self, path: Path) -> Table | None:
        """The shipped mapping that recognises the file."""
        return self._best(path, tuple(self.shipped.values()))

    def file_for(self, path: Path) -> Path | None:
        """The file of the shipped mapping that recognises `path`."""
        table = self.shipped_for(path)
        return next((file for file, mapping in self.shipped.items() if table and mapping is table.mapping), None)

    def _best(self, path: Path, mappings: Sequence[Mapping]) -> Table | None:
        found = max(self._fitting(path, mappings), key=lambda pair: pair[0], default=None)
        return Table(found[1], self.schemas) if found else None

    def _fitting(self, path: Path, mappings: Sequence[Mapping]) -> Iterator[tuple[int, Mapping]]:
        heads: dict[str | None, list[str]] = {}
        for mapping in mappings:
            encoding = mapping.file.encoding
            if encoding not in heads:
                try:
                    heads[encoding] = first_lines(path, encoding)
                except AdapterError:
                    heads[encoding] = []
            lines = heads[encoding]
            if mapping.file.named and mapping.file.named not in path.name.lower():
                continue
            if mapping.file.first_line and not (lines and lines[0].startswith(mapping.file.first_line)):
                continue
            header = find_header(lines, mapping)
            if header is None:
                continue
            known = sum(map(mapping.knows, header.names))
            if not mapping.file.exact or known == len(header.names):
                yield known, mapping


@cache
def library() -> Library:
    """The shipped mappings, held against the schemas that the settings name."""
    return Library(load_schemas(Settings.load().schemas_dir))
