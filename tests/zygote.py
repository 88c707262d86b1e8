"""A process that has imported what binaries import, and forks each that is started.

Most of what a short job takes is importing. What is forked is otherwise what `python -m` starts: it
has its own environment, folder, streams and signals, and ends as Python ends.

Requests come over the socket whose descriptor is the first argument, those to start a process with
the descriptors of its standard output, its standard error, and of a file for the names of its
modules; the other arguments are what to import.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import sys
import warnings
from importlib import import_module


def serve(requests: socket.socket) -> tuple[dict, list[int]]:
    """Answer requests until none come; returns in each process that is forked, with its request."""
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, 1 << 16, 3)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            with warnings.catch_warnings(action="ignore"):  # JAX and Python warn of threads
                answer = os.fork()
            if not answer:
                return request, descriptors
            for descriptor in descriptors:
                os.close(descriptor)
        requests.send(json.dumps(answer).encode())


def main(descriptor: str, *modules: str) -> None:
    """Import, serve, and be the binary that is asked for in what is forked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in modules:
        import_module(name)
    gc.freeze()
    requests = socket.socket(fileno=int(descriptor))
    request, (stdout, stderr, told) = serve(requests)
    requests.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for source, target in ((stdout, 1), (stderr, 2)):
        os.dup2(source, target)
        os.close(source)
    # What is registered first is called last.
    atexit.register(lambda: os.write(told, " ".join(list(sys.modules)).encode()))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    sys.argv[1:] = request["arguments"]
    exec(request["before"], {})
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
