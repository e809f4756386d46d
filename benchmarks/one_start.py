"""What one start of Python costs until a case is ready to run; `benchmarks.start_up` starts this twice.

    python -m benchmarks.one_start '{"what": "forward", "model": "small", "size": 256, "batch": 1}'

Prints seconds as JSON. The cache of compiled programs is the one that JAX_COMPILATION_CACHE_DIR names.
"""

import json
import sys
import time


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    started = time.perf_counter()
    from benchmarks.cases import Case
    from benchmarks.our_programs import build_model, program_of, random_pictures

    imported = time.perf_counter()
    case = Case(**json.loads(arguments[0]))
    program, inputs = program_of(case, build_model(case), random_pictures(case))
    built = time.perf_counter()
    lowered = program.lower(*inputs)
    traced = time.perf_counter()
    lowered.compile()
    compiled = time.perf_counter()
    seconds = {"import_s": imported - started, "build_s": built - imported}
    print(json.dumps(seconds | {"trace_s": traced - built, "compile_s": compiled - traced}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
