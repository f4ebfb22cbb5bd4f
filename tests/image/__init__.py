"""Builds the image from deploy/Dockerfile and runs deploy/compose.yaml without Docker: `make image-test`.

The steps are those of the files themselves. Debian's bubblewrap (`bwrap`) executes them in a root that debootstrap
made; the services run as another user, with a read-only root and without capabilities, in a network of their own.
"""
