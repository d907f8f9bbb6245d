"""The process that serves the images: `python -m tosip.images.process`, started by the IOC."""
