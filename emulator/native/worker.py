"""LLVM: IR text in, object file out.

Run as a program it is one build process: the request comes as a line of JSON and the IR text on standard input, the
object goes to standard output, and what LLVM says to standard error.  It is a process of its own because LLVM
compiles one module at a time in a process, and because it ends the process on some errors.  Imports nothing of
this package, so that it starts quickly.
"""

from __future__ import annotations

import json
import sys

import llvmlite.binding as llvm  # type: ignore[import-untyped]


def compile_ir(text: str, optimize: int = 2, cpu: str | None = None, features: str | None = None) -> bytes:
    """An object file for this machine.  RuntimeError with LLVM's words if the text is not valid IR."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple = llvm.get_process_triple()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=llvm.get_host_cpu_name() if cpu is None else cpu,
        features=llvm.get_host_cpu_features().flatten() if features is None else features,
        opt=optimize,
        reloc="pic",
        codemodel="small",
    )
    module = llvm.parse_assembly(text)
    module.triple = triple
    module.data_layout = str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=optimize)
    options.slp_vectorization = True  # short loops over the lanes of a vector become one instruction
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    emitted: bytes = machine.emit_object(module)
    return emitted


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    text = sys.stdin.buffer.read().decode()
    try:
        emitted = compile_ir(text, request["optimize"], request["cpu"], request["features"])
    except RuntimeError as error:
        print(str(error).strip(), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(emitted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
