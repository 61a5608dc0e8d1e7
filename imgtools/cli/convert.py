"""imgtools convert: copy disks into a new image, or into one that is there.

If it is interrupted, an image that it made is removed again: what is left is either whole or not there.
"""

from __future__ import annotations

import os

from imgtools.block.format import Compressing
from imgtools.block.gate import combine, gate_from_environment
from imgtools.block.graph import Context
from imgtools.cli import console, keyvalue
from imgtools.cli.arguments import Complaint, cache_mode
from imgtools.cli.convert_options import COMMAND, check_combinations
from imgtools.cli.objects import objects_of
from imgtools.cli.opening import find_output_format, gate_of, named, open_named
from imgtools.cli.progress import progress_of
from imgtools.cli.snapshots import load_snapshot
from imgtools.cli.unfinished import Unfinished
from imgtools.errors import ImageError
from imgtools.operations.bitmap import check_bitmaps, copy_bitmaps, keeps_bitmaps
from imgtools.operations.convert import convert
from imgtools.operations.create import NewImage, starts_as_zeroes

__all__ = ["COMMAND", "run"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from imgtools.block.node import Node

DEFAULT_SPARSE = 4096


def run(arguments: Any) -> int:
    check_combinations(arguments)
    *names, output = arguments.operands or [""]
    options = ",".join(arguments.options)
    if keyvalue.asks_for_help(options):
        from imgtools.cli.format_options import show_create_options

        return show_create_options(find_output_format(arguments.output_format), output if names else None)
    if not names:
        raise Complaint("Must specify image file name")
    cache = cache_mode(arguments.source_cache, "writeback", "source cache option")
    sources: list[Node] = []
    try:
        with progress_of(arguments, "convert") as progress:
            progress(0, 1)
            for name in names:
                target = named(name, arguments.format, arguments.image_opts)
                sources.append(open_named(target, arguments, cache=cache))
            if arguments.snapshot and len(sources) > 1:
                raise Complaint("No support for concatenating multiple snapshot")
            load_snapshot(sources[0], arguments.snapshot)
            _Conversion(arguments, sources, output, keyvalue.parse(options)).run(progress)
    finally:
        for source in sources:
            source.close()
    return 0


class _Conversion:
    """One conversion, its sources open."""

    def __init__(self, arguments: Any, sources: list[Node], output: str, options: dict[str, str]) -> None:
        self.arguments = arguments
        self.sources = sources
        self.output = output
        self.total = sum(source.size for source in sources)
        self.new = None if arguments.no_create else self._plan(options)
        self.backing: str | None = self.new.values.get("backing_file") if self.new else arguments.backing
        self._check()

    def run(self, progress: Any) -> None:
        cache = cache_mode(self.arguments.cache, "unsafe") if self.new is None else "unsafe"
        if self.new is not None:
            self._create(self.new)
            cache = cache_mode(self.arguments.cache, "unsafe")
        path, made = (self.output, False) if self.new is None else (self.new.path, True)
        with Unfinished(path, made=made), self._open(cache) as target:
            if self.arguments.bitmaps and not keeps_bitmaps(target):
                raise Complaint(f"Format driver '{target.driver}' does not support bitmaps")
            self._copy(target, progress)
            if self.arguments.bitmaps:
                copy_bitmaps(self.sources[0], target, warn=lambda text: console.complain(f"warning: {text}"))

    def _plan(self, options: dict[str, str]) -> NewImage:
        arguments = self.arguments
        new = NewImage(self.output, find_output_format(arguments.output_format), options)
        new.values["size"] = self.total
        for name, value, what in (
            ("backing_file", arguments.backing, "Backing file"),
            ("backing_fmt", arguments.backing_format, "Backing file format"),
        ):
            if value is not None:
                if new.format.option(name) is None:
                    raise Complaint(f"{what} not supported for file format '{new.format.name}'")
                new.values[name] = new.given[name] = value
        return new

    def _check(self) -> None:
        """Refuse what cannot be, before anything is made."""
        arguments, new = self.arguments, self.new
        values = new.values if new else {}
        if arguments.target_is_zero and self.backing:
            raise Complaint("Cannot use --target-is-zero when the destination image has a backing file")
        if self.backing and len(self.sources) > 1:
            raise Complaint(
                "Having a backing file for the target makes no sense when concatenating multiple input images"
            )
        if new is not None and self.backing and not values.get("backing_fmt"):
            raise Complaint("Use of backing file requires explicit backing format")
        if arguments.compress and new is not None:
            if not new.format.supports_compression:
                raise Complaint("Compression not supported for this file format")
            if values.get("encryption") or values.get("encrypt.format"):
                raise Complaint("Compression and encryption not supported at the same time")
            if values.get("preallocation") not in (None, "off"):
                raise Complaint("Compression and preallocation not supported at the same time")
        if arguments.bitmaps:
            self._check_bitmaps()

    def _check_bitmaps(self) -> None:
        if len(self.sources) > 1:
            raise Complaint("Copying bitmaps only possible with single source")
        if not keeps_bitmaps(self.sources[0]):
            raise Complaint("Source lacks bitmap support")
        check_bitmaps(self.sources[0], skip_broken=self.arguments.skip_broken_bitmaps)

    def _create(self, new: NewImage) -> None:
        try:
            new.create(Context(writable=True, gate=gate_of(self.arguments), objects=objects_of(self.arguments)))
        except ImageError as error:
            error.message = f"{self.output}: error while converting {new.format.name}: {error.message}"
            raise

    def _open(self, cache: str) -> Node:
        """The target; the backing file that the user named for it is as good as any other file so named."""
        arguments, gate = self.arguments, gate_of(self.arguments)
        format: str | None = arguments.output_format or "raw"
        if arguments.target_image_opts:
            format = arguments.output_format
        if self.new is not None and self.backing:
            gate = gate_from_environment([*arguments.allow, os.path.dirname(combine(self.output, self.backing))])
        named_target = named(self.output, format, arguments.target_image_opts)
        given = self.new.given if self.new else {}
        options = {name: id for name, id in given.items() if f".{name}".endswith(".key-secret")}
        target = open_named(
            named_target, arguments, writable=True, cache=cache, share=False, gate=gate, options=options
        )
        if arguments.compress and not isinstance(target.unfiltered, Compressing):
            target.close()
            raise Complaint("Compression not supported for this file format")
        if self.new is None and target.size < self.total:
            target.close()
            raise Complaint("output file is smaller than input file")
        return target

    def _copy(self, target: Node, progress: Any) -> None:
        arguments = self.arguments
        more = {} if arguments.workers is None else {"threads": arguments.workers}
        convert(
            self.sources,
            target,
            compress=arguments.compress,
            level=arguments.level,
            target_is_zero=arguments.target_is_zero or self._starts_as_zeroes(target),
            top_layer_only=bool(self.backing and self.new is not None and target.backing),
            sparse_size=DEFAULT_SPARSE if arguments.sparse is None else arguments.sparse,
            in_order=not arguments.out_of_order,
            salvage=arguments.salvage,
            rate_limit=arguments.rate,
            progress=progress,
            warn=None if arguments.quiet else lambda message: console.complain(f"warning: {message}"),
            **more,
        )

    def _starts_as_zeroes(self, target: Node) -> bool:
        """Whether the target is new and holds nothing of its own, not even what a device or a server held before."""
        reads_below = not self.backing or target.backing is not None
        return self.new is not None and reads_below and starts_as_zeroes(target)
