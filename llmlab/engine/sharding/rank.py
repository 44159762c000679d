"""One rank: a process that `ranks` starts. It trains with the others and tells what it held and sent.

Reads one request as a line of JSON from standard input and writes events as lines of JSON to standard output:
"ready", "alone", "step", "result", and at last "done" or "error". Ends at once when its standard input closes, so that
it never outlives the program.
"""

from __future__ import annotations

import copy
import datetime
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from llmlab.children import end_with_parent

Tell: TypeAlias = Callable[[dict[str, Any]], None]

LOOPBACK = "127.0.0.1"
_SECONDS_TO_ANSWER = 60  # for a rank that waits for another one


def main() -> int:
    """Serve one request; 0 when all methods were run."""
    request = json.loads(sys.stdin.readline())
    # where nobody is left to do it, the meeting place is removed by those who met there
    end_with_parent(lambda: shutil.rmtree(Path(request["store"]).parent, ignore_errors=True))

    def tell(event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()

    try:
        train(request, tell)
    except Exception as error:  # noqa: BLE001 - whatever went wrong goes to the parent as an event
        lines = str(error).strip().splitlines() or [type(error).__name__]
        tell({"event": "error", "kind": type(error).__name__, "text": lines[0][:300]})
        return 1
    tell({"event": "done"})
    return 0


def train(request: dict[str, Any], tell: Tell) -> None:
    """Join the other ranks and run every method."""
    import torch
    import torch.distributed as dist

    from llmlab.engine.memory.sharding import Strategy

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // request["ranks"]))
    device = join(request)
    model = _model(request["folder"])
    rank, batch = request["rank"], request["batch"]
    draws = torch.Generator().manual_seed(request["seed"])
    shape = (request["ranks"] * batch, request["tokens"])
    everything = torch.randint(model.config.vocab_size, shape, generator=draws)
    tell({"event": "ready", "device": device.type})
    if rank == 0:  # what the losses are held against; the others wait for it in their first collective
        tell({"event": "alone", "losses": _alone(model, everything.to(device), request["steps"])})
    own = everything[rank * batch : (rank + 1) * batch].to(device)
    for method in map(Strategy, request["methods"]):
        tell({"event": "result", "method": method, **_run(model, method, own, request, tell)})
    dist.destroy_process_group()


def join(request: dict[str, Any]) -> Any:
    """Meet the other ranks through a file; the device to train on. Nothing is reachable from outside this computer."""
    import torch
    import torch.distributed as dist

    rank, ranks = request["rank"], request["ranks"]
    store = dist.FileStore(request["store"], ranks)  # type: ignore[attr-defined]
    wait = datetime.timedelta(seconds=_SECONDS_TO_ANSWER)
    if _on_gpus(request["device"], ranks):
        # these name the interface that ranks find each other through; by default it is one that others reach too
        os.environ |= {"NCCL_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1"}
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", store=store, rank=rank, world_size=ranks, timeout=wait, device_id=device)
        return device
    gloo: Any = dist.ProcessGroupGloo
    options = gloo._Options()
    options._devices = [gloo.create_device(hostname=LOOPBACK)]  # otherwise the host's name decides
    options._timeout = wait
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=wait, pg_options=options)
    return torch.device("cpu")


def _on_gpus(device: str, ranks: int) -> bool:
    import torch
    import torch.distributed as dist

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    enough = count >= ranks and dist.is_nccl_available()
    if device == "cuda" and not enough:
        raise ValueError(f"{ranks} ranks need {ranks} CUDA devices and NCCL, and there are {count} devices")
    return enough and device != "cpu"


def _model(folder: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )


def _alone(model: Any, ids: Any, steps: int) -> list[float]:
    from llmlab.engine.sharding.methods import alone

    trained = alone(copy.deepcopy(model).to(ids.device).train())
    losses = []
    for _ in range(steps):
        loss = trained.module(input_ids=ids, labels=ids).loss
        loss.backward()
        trained.optimizer.step()
        trained.optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def _run(model: Any, method: Any, ids: Any, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Train with one method; what this rank held and sent in the last step, when everything has settled."""
    from llmlab.engine.sharding.methods import shared_out, storages
    from llmlab.engine.sharding.traffic import Traffic

    trained = shared_out(copy.deepcopy(model).to(ids.device).train(), method, ids.device)
    at_rest = storages(trained.model.parameters())
    losses: list[float] = []
    worst = 0
    found: dict[str, Any] = {}

    def look(name: str, payload: int) -> None:
        nonlocal worst
        now = storages(trained.model.parameters())
        coming = payload if name == "all-gather" else 0
        worst = max(worst, coming + sum(size for place, size in now.items() if place not in at_rest))

    for step in range(request["steps"]):
        last = step == request["steps"] - 1
        with Traffic(request["ranks"], look if last else lambda name, payload: None) as traffic:
            loss = trained.module(input_ids=ids, labels=ids).loss
            loss.backward()
            if last:
                gradients = storages(parameter.grad for parameter in trained.model.parameters())
            trained.optimizer.step()
        if last:
            found = {
                "parameters": sum(storages(trained.model.parameters()).values()),
                "gathered": worst,
                "gradients": sum(gradients.values()),
                "optimizer": sum(storages(trained.state_tensors()).values()),
                "collectives": [asdict(each) for each in traffic.collectives],
            }
        trained.optimizer.zero_grad()
        losses.append(loss.item())
        tell({"event": "step", "method": method, "step": step + 1})
    return {**found, "losses": losses}


if __name__ == "__main__":
    sys.exit(main())
