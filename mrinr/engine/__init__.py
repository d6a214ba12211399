"""Work outside the program's process: a worker that is kept warm, and the client that talks to it.

    with Client() as client:
        job = client.submit("superres", {"axial": volume}, {"method": "auto"})
        while not job.done:
            for event in client.poll():
                ...

Importing this package loads neither torch nor SimpleITK; only the worker does, when a task needs them.
"""

from mrinr.engine.client import Client
from mrinr.engine.job import EngineError, Event, Job

__all__ = ["Client", "EngineError", "Event", "Job"]
