"""How Signalbox is run: `deploy.local` is the embedded stack behind `make run`."""
