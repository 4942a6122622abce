"""The Function App: one app object on which every part registers its functions. The logic is in `email_core`."""

from __future__ import annotations

import azure.functions as func

from email_core.services import Worker
from email_core.triggers import data_plane, health, management, queues, timers

# Requests authenticate themselves with an access key or a bearer token, not with a key of the Functions host.
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
worker = Worker()

data_plane.register(app, worker)
management.register(app, worker)
queues.register(app, worker)
timers.register(app, worker)
health.register(app, worker)
