"""Access to LLVM: the package llvmlite, imported when something has to be compiled or loaded."""

from __future__ import annotations

from functools import cache
from typing import Any

from .errors import BuildError


@cache
def binding() -> Any:
    """llvmlite's binding, ready for this machine."""
    try:
        import llvmlite.binding as llvm  # type: ignore[import-untyped]
    except ImportError as error:
        raise BuildError(f"compiled functions need the package llvmlite ({error}); pip install llvmlite") from None
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@cache
def machine() -> tuple[str, str, str, str]:
    """LLVM's version, and the triple, name and features of this CPU."""
    llvm = binding()
    version = ".".join(map(str, llvm.llvm_version_info))
    features = llvm.get_host_cpu_features().flatten()
    return version, llvm.get_process_triple(), llvm.get_host_cpu_name(), features
